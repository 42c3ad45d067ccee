"""What a profile tells its plugins (pluginConfig), with upstream's sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from apimachinery.api.validation import scheduling
from apimachinery.meta.paths import Path
from controlplane.scheduler.config_fields import Fields
from controlplane.scheduler.profiles import Candidates, Fit, Profile, Spread, spread_constraint

_META = ("apiVersion", "kind")


def read_arguments(fields: Fields, path: str, said: Mapping[str, Any], profile: Profile) -> Profile:
    """The profile with one entry of `pluginConfig`."""
    name, args = fields.text("name", said, path), fields.object("args", said, path)
    where = f"{path}.args"
    kind = args.get("kind")
    if kind not in (None, f"{name}Args"):
        fields.problems.add(f"{where}.kind", f'must be "{name}Args", not "{kind}"')
    match name:
        case "DefaultPreemption":
            return replace(profile, candidates=_candidates(fields, where, args))
        case "InterPodAffinity":
            fields.only(where, args, (*_META, "hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"))
            words = "not in valid range [0, 100]"
            weight = fields.number("hardPodAffinityWeight", args, 0, 100, where, default=1, words=words)
            ignored = fields.switch("ignorePreferredTermsOfExistingPods", args, where)
            return replace(profile, hard_pod_affinity_weight=weight, ignores_preferences=ignored)
        case "NodeAffinity":
            fields.only(where, args, (*_META, "addedAffinity"))
            return replace(profile, added_affinity=_affinity(fields, where, args))
        case "NodeResourcesBalancedAllocation":
            fields.only(where, args, (*_META, "resources"))
            return replace(profile, balanced=tuple(_resources(fields, where, args)) or profile.balanced)
        case "NodeResourcesFit":
            return replace(profile, fit=_fit(fields, where, args))
        case "PodTopologySpread":
            return replace(profile, spread=_spread(fields, where, args))
        case "VolumeBinding":
            fields.only(where, args, (*_META, "bindTimeoutSeconds"))
            words = "invalid BindTimeoutSeconds, should not be a negative value"
            seconds = fields.number("bindTimeoutSeconds", args, 0, path=where, default=600, words=words)
            return replace(profile, bind_timeout=float(seconds))
    fields.problems.add(f"{path}.name", f'"{name}" takes no arguments here')
    return profile


def _candidates(fields: Fields, path: str, args: Mapping[str, Any]) -> Candidates:
    fields.only(path, args, (*_META, "minCandidateNodesPercentage", "minCandidateNodesAbsolute"))
    least = Candidates()
    found = Candidates(
        fields.number(
            "minCandidateNodesPercentage", args, 0, 100, path,
            default=least.percentage, words="not in valid range [0, 100]",
        ),
        fields.number(
            "minCandidateNodesAbsolute", args, 0, path=path, default=least.absolute, words="not in valid range [0, inf)"
        ),
    )  # fmt: skip
    if found == Candidates(0, 0):
        fields.problems.add(path, "both minCandidateNodesPercentage and minCandidateNodesAbsolute cannot be zero")
    return found


def _affinity(fields: Fields, path: str, args: Mapping[str, Any]) -> Mapping[str, Any] | None:
    said = fields.object("addedAffinity", args, path)
    for problem in scheduling.affinity({"nodeAffinity": said}, Path("")) if said else ():
        where = problem.path.rpartition("nodeAffinity")[2]
        fields.problems.add(f"{path}.addedAffinity{where}", problem.message)
    return said or None


def _fit(fields: Fields, path: str, args: Mapping[str, Any]) -> Fit:
    fields.only(path, args, (*_META, "scoringStrategy", "ignoredResources", "ignoredResourceGroups"))
    ignored, groups = fields.texts("ignoredResources", args, path), fields.texts("ignoredResourceGroups", args, path)
    for index, group in enumerate(groups):
        if "/" in group:
            told = "resource group name can't contain '/'"
            fields.problems.add(f"{path}.ignoredResourceGroups[{index}]", f'Invalid value: "{group}": {told}')
    said, path = fields.object("scoringStrategy", args, path), f"{path}.scoringStrategy"
    fields.only(path, said, ("type", "resources", "requestedToCapacityRatio"))
    strategy = str(said.get("type") or "LeastAllocated")
    if strategy not in ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"):
        supported = '"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"'
        fields.problems.add(f"{path}.type", f'Unsupported value: "{strategy}": supported values: {supported}')
    weights = _resources(fields, path, said) or {"cpu": 1, "memory": 1}
    where = f"{path}.requestedToCapacityRatio"
    shape = tuple(
        (fields.number("utilization", one, 0, 100, each), fields.number("score", one, 0, 10, each))
        for each, one in fields.objects("shape", fields.object("requestedToCapacityRatio", said, path), where)
    )
    if strategy == "RequestedToCapacityRatio":
        if not shape:
            fields.problems.add(f"{where}.shape", "at least one point must be specified")
        if any(before[0] >= after[0] for before, after in pairwise(shape)):
            fields.problems.add(f"{where}.shape", "utilization values must be sorted in increasing order")
    return Fit(strategy, tuple(weights.items()), shape, frozenset(ignored), frozenset(groups))


def _spread(fields: Fields, path: str, args: Mapping[str, Any]) -> Spread | None:
    fields.only(path, args, (*_META, "defaultingType", "defaultConstraints"))
    said, kind = fields.objects("defaultConstraints", args, path), args.get("defaultingType", "System")
    if kind not in ("System", "List"):
        told = f'Unsupported value: "{kind}": supported values: "List", "System"'
        fields.problems.add(f"{path}.defaultingType", told)
    if kind == "System":
        if said:
            words = "when .defaultingType is System, default constraints cannot be specified"
            fields.problems.add(f"{path}.defaultConstraints", words)
        return None
    for where, one in said:
        fields.number("maxSkew", one, 1, path=where)
        if one.get("labelSelector") is not None:
            words = "constraint must not define a selector, as they deduced for each pod"
            fields.problems.add(f"{where}.labelSelector", words)
        when = one.get("whenUnsatisfiable")
        if when not in ("DoNotSchedule", "ScheduleAnyway"):
            supported = 'supported values: "DoNotSchedule", "ScheduleAnyway"'
            fields.problems.add(f"{where}.whenUnsatisfiable", f'Unsupported value: "{when}": {supported}')
        if not one.get("topologyKey"):
            fields.problems.add(f"{where}.topologyKey", "can not be empty")
    return tuple(spread_constraint(one) for _, one in said)


def _resources(fields: Fields, path: str, said: Mapping[str, Any]) -> dict[str, int]:
    return {
        fields.text("name", one, where): fields.number("weight", one, 1, 100, where, default=1)
        for where, one in fields.objects("resources", said, path)
    }
