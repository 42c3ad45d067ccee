"""What a profile tells its plugins (pluginConfig), with upstream's sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from apimachinery.api.validation import scheduling
from apimachinery.kit.config import Problems
from apimachinery.meta import names
from apimachinery.meta.paths import Path
from controlplane.scheduler.config_fields import Fields
from controlplane.scheduler.profiles import Candidates, Fit, Profile, Spread, spread_constraint

_META = ("apiVersion", "kind")
_GROUP = "kubescheduler.config.k8s.io"


def read_arguments(fields: Fields, path: str, said: Mapping[str, Any], profile: Profile) -> Profile:
    """The profile with one entry of `pluginConfig`. The arguments are decoded by themselves, as an object of a kind."""
    fields.only(path, said, ("name", "args"))
    name, args = fields.text("name", said, path), fields.object("args", said, path)
    inner = Fields(invalid := Problems(), f"{path}.args", f"{name}Args")
    decoding = f"decoding .{path}"
    kind = args.get("kind")
    if kind not in (None, f"{name}Args"):
        names = f"of type {name}Args.{_GROUP}, got {kind}.{_GROUP}"
        fields.wrong.append(f"{decoding}: args for plugin {name} were not {names}")
        return profile
    profile = _arguments(inner, name, path, args, profile)
    for each in invalid:
        if name == "NodeResourcesFit":  # alone looks at its arguments itself, when it is made
            making = f'creating profile for scheduler name {profile.scheduler_name}: initializing plugin "{name}"'
            each = f"initializing profiles: {making}: {each.removeprefix(f'{path}.args.')}"
        fields.problems.tell(each)
    for each in inner.wrong:
        fields.wrong.append(f"{decoding}: decoding args for plugin {name}: {each}")
    if inner.unknown:
        told = f"decoding args for plugin {name}: strict decoding error: {', '.join(inner.unknown)}"
        fields.unknown.append(f"{decoding}: strict decoding error: {told}")
    return profile


def _arguments(fields: Fields, name: str, path: str, args: Mapping[str, Any], profile: Profile) -> Profile:
    where = f"{path}.args"
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
            return replace(profile, balanced=tuple(_balanced(fields, where, args)) or profile.balanced)
        case "NodeResourcesFit":
            return replace(profile, fit=_fit(fields, where, args))
        case "PodTopologySpread":
            return replace(profile, spread=_spread(fields, where, args))
        case "VolumeBinding":
            fields.only(where, args, (*_META, "bindTimeoutSeconds"), unsupported=("shape",))
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
        both = ("minCandidateNodesPercentage", "minCandidateNodesAbsolute")
        for field, other in (both, both[::-1]):
            fields.problems.add(f"{path}.{field}", f"Invalid value: 0: cannot be zero at the same time as {other}")
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
    for index, resource in enumerate(ignored):
        _named(fields, f"{path}.ignoredResources[{index}]", resource)
    for index, group in enumerate(groups):
        where = f"{path}.ignoredResourceGroups[{index}]"
        if "/" in group:
            told = "resource group name can't contain '/'"
            fields.problems.add(where, f'Invalid value: "{group}": {told}')
        _named(fields, where, group)
    said, path = fields.object("scoringStrategy", args, path), f"{path}.scoringStrategy"
    fields.only(path, said, ("type", "resources", "requestedToCapacityRatio"))
    strategy = str(said.get("type") or "LeastAllocated")
    if strategy not in ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"):
        supported = '"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"'
        fields.problems.add(f"{path}.type", f'Unsupported value: "{strategy}": supported values: {supported}')
    weights = _weights(fields, path, said) or {"cpu": 1, "memory": 1}
    shape = _shape(fields, path, said, wanted=strategy == "RequestedToCapacityRatio")
    return Fit(strategy, tuple(weights.items()), shape, frozenset(ignored), frozenset(groups))


def _shape(fields: Fields, path: str, said: Mapping[str, Any], *, wanted: bool) -> tuple[tuple[int, int], ...]:
    where = f"{path}.requestedToCapacityRatio"
    if said.get("requestedToCapacityRatio") is None:
        if wanted:
            fields.problems.add(where, "Required value: must be specified when type is RequestedToCapacityRatio")
        return ()
    if not wanted:
        fields.problems.add(where, "Forbidden: must be nil when type is not RequestedToCapacityRatio")
    ends, heights = "not in valid range [0, 100]", "not in valid range [0, 10]"
    shape = tuple(
        (
            fields.number("utilization", one, 0, 100, each, words=ends),
            fields.number("score", one, 0, 10, each, words=heights),
        )
        for each, one in fields.objects("shape", fields.object("requestedToCapacityRatio", said, path), where)
    )
    if wanted and not shape:
        fields.problems.add(f"{where}.shape", "Required value: at least one point must be specified")
    for index, (before, after) in enumerate(pairwise(shape), start=1):
        if wanted and before[0] >= after[0]:
            told = f"Invalid value: {after[0]}: values must be sorted in increasing order"
            fields.problems.add(f"{where}.shape[{index}].utilization", told)
            break
    return shape


def _spread(fields: Fields, path: str, args: Mapping[str, Any]) -> Spread | None:
    fields.only(path, args, (*_META, "defaultingType", "defaultConstraints"))
    said, kind = fields.objects("defaultConstraints", args, path), args.get("defaultingType") or "System"
    if kind not in ("System", "List"):
        told = f'Unsupported value: "{kind}": supported values: "System", "List"'
        fields.problems.add(f"{path}.defaultingType", told)
    if kind == "System":
        if said:
            words = 'Invalid value: "System": when .defaultConstraints are not empty'
            fields.problems.add(f"{path}.defaultingType", words)
        return None
    seen: set[tuple[Any, Any]] = set()
    for where, one in said:
        fields.number("maxSkew", {"maxSkew": 0, **one}, 1, path=where, words="not in valid range (0, inf)")
        if one.get("labelSelector") is not None:
            words = "Forbidden: constraint must not define a selector, as they deduced for each pod"
            fields.problems.add(f"{where}.labelSelector", words)
        when = one.get("whenUnsatisfiable")
        if not when:
            fields.problems.add(f"{where}.whenUnsatisfiable", "Required value: can not be empty")
        elif when not in ("DoNotSchedule", "ScheduleAnyway"):
            supported = 'supported values: "DoNotSchedule", "ScheduleAnyway"'
            fields.problems.add(f"{where}.whenUnsatisfiable", f'Unsupported value: "{when}": {supported}')
        key = fields.text("topologyKey", one, where)
        if key:
            _named(fields, f"{where}.topologyKey", key)
        else:
            fields.problems.add(f"{where}.topologyKey", "Required value: can not be empty")
        pair = (one.get("topologyKey"), when)
        if pair in seen:
            fields.problems.add(where, f'Duplicate value: "{{{pair[0]}, {pair[1]}}}"')
        seen.add(pair)
    return tuple(spread_constraint(one) for _, one in said)


def _named(fields: Fields, path: str, name: str) -> None:
    """The name of a label or of a resource."""
    for sentence in names.qualified_name(name):
        fields.problems.add(path, f'Invalid value: "{name}": {sentence}')


def _weights(fields: Fields, path: str, said: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for where, one in fields.objects("resources", said, path):
        name = fields.text("name", one, where)
        words = f"resource weight of {name} not in valid range (0, 100]"
        found[name] = _weight(fields, where, one, 100, words)
    return found


def _balanced(fields: Fields, path: str, said: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for where, one in fields.objects("resources", said, path):
        name = fields.text("name", one, where)
        if name in found:
            fields.problems.add(f"{where}.name", f'Duplicate value: "{name}"')
        found.append(name)
        _weight(fields, where, one, 1, "must be 1")
    return found


def _weight(fields: Fields, path: str, said: Mapping[str, Any], high: int, words: str) -> int:
    """0 means the usual one."""
    return fields.number("weight", said, 1, high, path, default=1, words=words) if said.get("weight") != 0 else 1
