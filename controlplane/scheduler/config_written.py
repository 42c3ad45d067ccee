"""The configuration in force as a KubeSchedulerConfiguration file (`--write-config-to`): what was said, completed.

It is what one begins a file of one's own from: every default stands in it, as upstream's program writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from apimachinery.meta.times import format_duration
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.config_file import API_VERSION, KIND
from controlplane.scheduler.config_plugins import POINTS
from controlplane.scheduler.profiles import DEFAULT_SCORES

Object = dict[str, Any]

_CPU_AND_MEMORY = [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]
# By plugin, what it is told where nothing is said.
_ARGUMENTS: dict[str, Object] = {
    "DefaultPreemption": {"minCandidateNodesAbsolute": 100, "minCandidateNodesPercentage": 10},
    "InterPodAffinity": {"hardPodAffinityWeight": 1, "ignorePreferredTermsOfExistingPods": False},
    "NodeAffinity": {},
    "NodeResourcesBalancedAllocation": {"resources": _CPU_AND_MEMORY},
    "NodeResourcesFit": {"scoringStrategy": {"resources": _CPU_AND_MEMORY, "type": "LeastAllocated"}},
    "PodTopologySpread": {"defaultingType": "System"},
    "VolumeBinding": {"bindTimeoutSeconds": 600},
}
# Upstream's default set of 1.32, in its order.
_EVERYWHERE = (
    "SchedulingGates", "PrioritySort", "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts",
    "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread",
    "InterPodAffinity", "DefaultPreemption", "NodeResourcesBalancedAllocation", "ImageLocality", "DefaultBinder",
)  # fmt: skip
_CONNECTION = {
    "acceptContentTypes": "",
    "burst": 100,
    "contentType": "application/vnd.kubernetes.protobuf",
    "kubeconfig": "",
    "qps": 50,
}


def written(config: SchedulerConfig) -> str:
    """The file, in YAML with sorted keys and Go's quotes."""
    apart = json.loads(json.dumps(_document(config)))  # nothing in it twice: YAML would name the second by the first
    return str(yaml.safe_dump(apart, sort_keys=True, allow_unicode=True)).replace(": ''\n", ': ""\n')


def _document(config: SchedulerConfig) -> Object:
    said = {key: value for key, value in config.said.items() if value is not None}
    lease, renew, retry = map(format_duration, config.leader_lease)
    return {
        "enableContentionProfiling": True,
        "enableProfiling": True,
        "parallelism": 16,
        "percentageOfNodesToScore": 0,
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 10,
        **said,
        "apiVersion": API_VERSION,
        "kind": KIND,
        "clientConnection": {**_CONNECTION, **(said.get("clientConnection") or {}), "kubeconfig": config.kubeconfig},
        "leaderElection": {
            "leaderElect": config.leader_elect,
            "leaseDuration": lease,
            "renewDeadline": renew,
            "resourceLock": "leases",
            "resourceName": config.lease.name,
            "resourceNamespace": config.lease.namespace,
            "retryPeriod": retry,
        },
        "profiles": [_profile(each) for each in said.get("profiles") or [{}]],
    }


def _profile(said: Mapping[str, Any]) -> Object:
    plugins = _plugins(said.get("plugins") or {})
    needed = {one["name"] for chosen in plugins.values() for one in chosen.get("enabled", ())}
    arguments = {each["name"]: each.get("args") or {} for each in said.get("pluginConfig") or ()}
    kinds = {name: {"apiVersion": API_VERSION, "kind": f"{name}Args"} for name in _ARGUMENTS}
    told = [
        {"name": name, "args": {**_completed(_ARGUMENTS[name], arguments.get(name, {})), **kinds[name]}}
        for name in _ARGUMENTS
        if name in needed
    ]
    return {
        **said,
        "schedulerName": said.get("schedulerName") or "default-scheduler",
        "plugins": plugins,
        **({"pluginConfig": told} if told else {}),
    }


def _completed(usual: Mapping[str, Any], said: Mapping[str, Any]) -> Object:
    """What is said, and what is usual beside it; so too in the one argument that is an object itself."""
    found = {**usual, **{key: value for key, value in said.items() if value is not None}}
    if "scoringStrategy" in usual:
        found["scoringStrategy"] = {**usual["scoringStrategy"], **(said.get("scoringStrategy") or {})}
    return found


def _plugins(said: Mapping[str, Any]) -> Object:
    weights = dict(DEFAULT_SCORES)
    usual = [{"name": name, "weight": weights.get(name, 0)} for name in _EVERYWHERE]
    return {
        "multiPoint": _merged(usual, said.get("multiPoint") or {}),
        **{point: _merged([], said.get(point) or {}) for point in POINTS},
    }


def _merged(usual: Sequence[Object], said: Mapping[str, Any]) -> Object:
    """What is usual keeps its place, also where it is said again; what is disabled is told, too."""
    disabled = [one["name"] for one in said.get("disabled") or ()]
    chosen = {one["name"]: {"weight": 0, **one} for one in said.get("enabled") or ()}
    kept = [] if "*" in disabled else [one for one in usual if one["name"] not in disabled]
    enabled = [chosen.pop(one["name"], one) for one in kept] + list(chosen.values())
    return {
        **({"disabled": [{"name": name, "weight": 0} for name in disabled]} if disabled else {}),
        **({"enabled": enabled} if enabled else {}),
    }
