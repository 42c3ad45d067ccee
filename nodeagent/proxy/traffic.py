"""Which endpoints a service port's traffic may go to from this node (upstream's pkg/proxy/topology.go). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .services import Endpoint, ServicePort

ZONE_LABEL = "topology.kubernetes.io/zone"


class Reachable(NamedTuple):
    """cluster, local: the endpoints of each traffic policy, empty where no traffic uses it; reachable: both together.

    anywhere: whether the service has a usable endpoint on any node.
    internal, external: whether traffic to the ClusterIP, and from outside of the cluster, may go to one from here.
    """

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    reachable: tuple[Endpoint, ...]
    anywhere: bool
    internal: bool
    external: bool


def reachable(endpoints: Sequence[Endpoint], port: ServicePort, node_labels: Mapping[str, str]) -> Reachable:
    """Ready endpoints; where there is none, those that terminate but still serve (KEP-1669)."""
    ready = [one for one in endpoints if one.ready]
    fallback = [one for one in endpoints if one.serving and one.terminating]
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    anywhere = False
    if port.uses_cluster_endpoints:
        zone = _hinted_zone(ready, node_labels)
        cluster = tuple(ready if zone is None else [one for one in ready if zone in one.zones]) or tuple(fallback)
        anywhere = bool(cluster)
    if port.uses_local_endpoints:
        anywhere = anywhere or bool(ready or fallback)
        local = tuple(one for one in ready if one.local) or tuple(one for one in fallback if one.local)
    return Reachable(
        cluster=cluster,
        local=local,
        reachable=tuple(sorted({*cluster, *local}, key=str)) if local else cluster,
        anywhere=anywhere,
        internal=anywhere and (bool(local) or not port.internal_local),
        external=anywhere and (bool(local) or not port.external_local),
    )


def _hinted_zone(ready: Sequence[Endpoint], node_labels: Mapping[str, str]) -> str | None:
    """The node's zone, when every endpoint has a hint and one is for it; else None: hints are not used in part."""
    zone = node_labels.get(ZONE_LABEL)
    if not zone or not all(one.zones for one in ready) or not any(zone in one.zones for one in ready):
        return None
    return zone
