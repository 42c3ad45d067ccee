"""The scheduling rules, one file each, and how a profile is made of them: the only list of them."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock
from controlplane.scheduler.framework import FilterPlugin, Framework, ScorePlugin
from controlplane.scheduler.plugins.balanced_allocation import BalancedAllocation
from controlplane.scheduler.plugins.image_locality import ImageLocality
from controlplane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from controlplane.scheduler.plugins.node_affinity import NodeAffinity
from controlplane.scheduler.plugins.node_name import NodeName
from controlplane.scheduler.plugins.node_ports import NodePorts
from controlplane.scheduler.plugins.node_resources_fit import NodeResourcesFit
from controlplane.scheduler.plugins.node_unschedulable import NodeUnschedulable
from controlplane.scheduler.plugins.pod_topology_spread import PodTopologySpread
from controlplane.scheduler.plugins.taint_toleration import TaintToleration
from controlplane.scheduler.plugins.volume_binding import VolumeBinding
from controlplane.scheduler.plugins.volume_limits import NodeVolumeLimits
from controlplane.scheduler.plugins.volume_restrictions import VolumeRestrictions
from controlplane.scheduler.plugins.volume_zone import VolumeZone
from controlplane.scheduler.profiles import DEFAULT, Profile
from controlplane.scheduler.storage import Storage


@dataclass(frozen=True, slots=True)
class VolumeParts:
    """What the rules about volumes work with."""

    storage: Storage
    client: Client
    clock: Clock


def make_framework(profile: Profile = DEFAULT, volumes: VolumeParts | None = None) -> Framework:
    """Return the rules of a profile, in upstream's order of filters.

    volumes: without it, the rules about volumes are left out (an explanation of a pod that has none).
    """
    taint_toleration, node_affinity = TaintToleration(), NodeAffinity(profile.added_affinity)
    fit, spread = NodeResourcesFit(profile.fit), PodTopologySpread(profile.spread)
    inter_pod = InterPodAffinity(profile.hard_pod_affinity_weight, ignores_preferences=profile.ignores_preferences)
    filters: tuple[FilterPlugin, ...] = (
        NodeUnschedulable(),
        NodeName(),
        taint_toleration,
        node_affinity,
        NodePorts(),
        fit,
        *(_volume_rules(volumes, profile.bind_timeout) if volumes is not None else ()),
        spread,
        inter_pod,
    )
    scorers: tuple[ScorePlugin, ...] = (
        taint_toleration,
        node_affinity,
        fit,
        spread,
        inter_pod,
        BalancedAllocation(profile.balanced),
        ImageLocality(),
    )
    weights = dict(profile.scores)
    return Framework(
        profile.scheduler_name,
        filters=[plugin for plugin in filters if plugin.name in profile.filters],
        scorers=[(plugin, weights[plugin.name]) for plugin in scorers if plugin.name in weights],
        preempts=profile.preempts,
        candidates=profile.candidates,
        percentage=profile.percentage,
    )


def _volume_rules(parts: VolumeParts, timeout: float) -> tuple[FilterPlugin, ...]:
    return (
        VolumeRestrictions(parts.storage),
        NodeVolumeLimits(parts.storage),
        VolumeBinding(parts.storage, parts.client, parts.clock, timeout),
        VolumeZone(parts.storage),
    )
