"""Which plugins a profile has at which points (KubeSchedulerProfile.plugins), with upstream's sentences.

Upstream's plugins stand at up to a dozen points each. Here one is a piece that filters, scores, or both, and what it
does at the points around (`preFilter`, `preScore`, `reserve`, `preBind`) goes with that: so it can be disabled there
only together with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from controlplane.scheduler.config_fields import Fields
from controlplane.scheduler.profiles import DEFAULT_FILTERS, DEFAULT_SCORES, Profile

_WEIGHTS = dict(DEFAULT_SCORES)
_VOLUMES = ("VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone")
# What stands where in upstream's default profile of 1.32.
POINTS: dict[str, tuple[str, ...]] = {
    "preEnqueue": ("SchedulingGates",),
    "queueSort": ("PrioritySort",),
    "preFilter": (
        "NodeAffinity", "NodePorts", "NodeResourcesFit", *_VOLUMES, "PodTopologySpread", "InterPodAffinity",
    ),
    "filter": DEFAULT_FILTERS,
    "postFilter": ("DefaultPreemption",),
    "preScore": (
        "TaintToleration", "NodeAffinity", "NodeResourcesFit", "VolumeBinding", "PodTopologySpread",
        "InterPodAffinity", "NodeResourcesBalancedAllocation",
    ),
    "score": tuple(_WEIGHTS),
    "reserve": ("VolumeBinding",),
    "permit": (),
    "preBind": ("VolumeBinding",),
    "bind": ("DefaultBinder",),
    "postBind": (),
}  # fmt: skip
_PLUGIN = ("name", "weight")
_KNOWN = frozenset(name for names in POINTS.values() for name in names)
# The points around another, at which nothing can be missing of what stands at that one.
_AROUND = {"preFilter": "filter", "reserve": "filter", "preBind": "filter", "preScore": "score"}


def read_plugins(fields: Fields, path: str, said: Mapping[str, Any], profile: Profile) -> Profile:
    """The profile with what `said`, its `plugins`, disables and enables: at every point first, then at each."""
    fields.only(path, said, ("multiPoint", *POINTS))
    chosen = {point: dict.fromkeys(names) for point, names in POINTS.items()}
    weights = dict(_WEIGHTS)
    name = profile.scheduler_name
    where = f"initializing profiles: creating profile for scheduler name {name}"
    for point in ("multiPoint", *POINTS):
        for told in _choose(fields, f"{path}.{point}", point, fields.object(point, said, path), chosen, weights):
            fields.problems.add(where, told)
    if not chosen["queueSort"]:
        words = f'only one queue sort plugin required for profile with scheduler name "{name}", but got 0'
        fields.problems.add(where, words)
    if not chosen["bind"]:
        fields.problems.add(where, f'at least one bind plugin is needed for profile with scheduler name "{name}"')
    if not chosen["preEnqueue"]:
        fields.problems.add(f"{path}.preEnqueue", "scheduling gates are always heeded here")
    for point, around in _AROUND.items():
        for lacking in POINTS[point]:
            if lacking in chosen[around] and lacking not in chosen[point]:
                words = f'plugin "{lacking}" cannot be disabled here while it is enabled at {around}'
                fields.problems.add(f"{path}.{point}.disabled", words)
    return replace(
        profile,
        filters=tuple(chosen["filter"]),
        scores=tuple((each, weights[each]) for each in chosen["score"]),
        preempts=bool(chosen["postFilter"]),
    )


def _choose(
    fields: Fields,
    path: str,
    point: str,
    said: Mapping[str, Any],
    chosen: dict[str, dict[str, None]],
    weights: dict[str, int],
) -> Iterator[str]:
    """Disabled first, then enabled, as upstream: `*` takes all away, and a name that there is none of nothing."""
    fields.only(path, said, ("enabled", "disabled"))
    points = tuple(POINTS) if point == "multiPoint" else (point,)
    for where, one in fields.objects("disabled", said, path):
        fields.only(where, one, _PLUGIN)
        name = fields.text("name", one, where)
        for each in points:
            chosen[each] = {} if name == "*" else {key: None for key in chosen[each] if key != name}
    seen: set[str] = set()
    for where, one in fields.objects("enabled", said, path):
        fields.only(where, one, _PLUGIN)
        name = fields.text("name", one, where)
        if name not in _KNOWN:
            yield f'{_kind(point)} "{name}" does not exist'
            continue
        if name in seen:
            yield f'plugin "{name}" already registered as "{_kind(point)}"'
        seen.add(name)
        offered = [each for each in points if name in POINTS[each]]
        if not offered:
            yield f'plugin "{name}" does not extend {_kind(point)} plugin'
        for each in offered:
            chosen[each][name] = None
        weight = fields.number("weight", one, 0, path=where)
        if "score" in offered:
            weights[name] = weight or 1  # whatever the usual one is


def _kind(point: str) -> str:
    """Go's type. What stands everywhere is looked for first where pods are looked at first."""
    point = "preFilter" if point == "multiPoint" else point
    return f"{point[0].upper()}{point[1:]}Plugin"
