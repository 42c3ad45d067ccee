"""What /configz of the scheduler shows: the configuration in force, with the names of upstream's internal types.
Profiles show the plugins that they have come to. Keys of extenders are not shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.meta.times import format_duration
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.config_extenders import ExtenderConfig
from controlplane.scheduler.config_file import API_VERSION
from controlplane.scheduler.profiles import Fit, Profile

NAME = "componentconfig"


def shown(config: SchedulerConfig) -> dict[str, Any]:
    """By name, the KubeSchedulerConfiguration."""
    return {
        NAME: {
            "apiVersion": API_VERSION,
            **config.shown(config.lease.name, config.lease.namespace),
            "PercentageOfNodesToScore": config.percentage_of_nodes_to_score,
            "PodInitialBackoffSeconds": int(config.backoffs.initial),
            "PodMaxBackoffSeconds": int(config.backoffs.highest),
            "Profiles": [_profile(each) for each in config.profiles],
            "Extenders": [_extender(each) for each in config.extenders] or None,
        }
    }


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "SchedulerName": profile.scheduler_name,
        "PercentageOfNodesToScore": profile.percentage,
        "Plugins": {
            "Filter": _set((name, 0) for name in profile.filters),
            "PostFilter": _set([("DefaultPreemption", 0)] if profile.preempts else []),
            "Score": _set(profile.scores),
        },
        "PluginConfig": [{"Name": name, "Args": said} for name, said in _arguments(profile).items()],
    }


def _set(plugins: Iterable[tuple[str, int]]) -> dict[str, Any]:
    return {"Enabled": _weighed(plugins) or None, "Disabled": None}


def _weighed(pairs: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"Name": name, "Weight": weight} for name, weight in pairs]


def _arguments(profile: Profile) -> dict[str, dict[str, Any]]:
    """Those of every plugin that takes some, in the order of upstream's defaults."""
    return {
        "DefaultPreemption": {
            "MinCandidateNodesPercentage": profile.candidates.percentage,
            "MinCandidateNodesAbsolute": profile.candidates.absolute,
        },
        "InterPodAffinity": {
            "HardPodAffinityWeight": profile.hard_pod_affinity_weight,
            "IgnorePreferredTermsOfExistingPods": profile.ignores_preferences,
        },
        "NodeAffinity": {"AddedAffinity": profile.added_affinity},
        "NodeResourcesBalancedAllocation": {"Resources": _weighed((name, 1) for name in profile.balanced)},
        "NodeResourcesFit": _fit(profile.fit),
        "PodTopologySpread": {
            "DefaultConstraints": [
                {
                    "maxSkew": each.max_skew,
                    "topologyKey": each.topology_key,
                    "whenUnsatisfiable": "DoNotSchedule" if each.hard else "ScheduleAnyway",
                }
                for each in profile.spread or ()
            ]
            or None,
            "DefaultingType": "System" if profile.spread is None else "List",
        },
        "VolumeBinding": {"BindTimeoutSeconds": int(profile.bind_timeout)},
    }


def _fit(fit: Fit) -> dict[str, Any]:
    shape = [{"Utilization": utilization, "Score": score} for utilization, score in fit.shape]
    return {
        "IgnoredResources": sorted(fit.ignored) or None,
        "IgnoredResourceGroups": sorted(fit.groups) or None,
        "ScoringStrategy": {
            "Type": fit.strategy,
            "Resources": _weighed(fit.weights),
            "RequestedToCapacityRatio": {"Shape": shape} if shape else None,
        },
    }


def _extender(extender: ExtenderConfig) -> dict[str, Any]:
    managed = [{"Name": each, "IgnoredByScheduler": each in extender.ignored} for each in sorted(extender.managed)]
    return {
        "URLPrefix": extender.url,
        "FilterVerb": extender.filter_verb,
        "PreemptVerb": extender.preempt_verb,
        "PrioritizeVerb": extender.prioritize_verb,
        "Weight": extender.weight,
        "BindVerb": extender.bind_verb,
        "EnableHTTPS": extender.https,
        "HTTPTimeout": format_duration(extender.timeout),
        "NodeCacheCapable": extender.knows_nodes,
        "ManagedResources": managed or None,
        "Ignorable": extender.ignorable,
    }
