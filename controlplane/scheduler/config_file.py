"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), read strictly: what is not followed here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from apimachinery.kit.config import Problems
from controlplane.scheduler.profiles import (
    DEFAULT_FILTERS,
    DEFAULT_SCORES,
    FIXED,
    Fit,
    Profile,
    Spread,
    spread_constraint,
)

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"

_KNOWN = frozenset((*DEFAULT_FILTERS, *(name for name, _ in DEFAULT_SCORES), *FIXED))
# The points whose plugins can be chosen; at every other each plugin does what it must, or nothing.
_POINTS = ("multiPoint", "filter", "score", "postFilter")
_OTHERS = ("preEnqueue", "queueSort", "preFilter", "preScore", "reserve", "permit", "preBind", "bind", "postBind")


@dataclass(frozen=True, slots=True)
class FileConfig:
    """What the file says; None or empty where it says nothing."""

    kubeconfig: str = ""
    leader_elect: bool | None = None
    percentage_of_nodes_to_score: int = 0
    profiles: tuple[Profile, ...] = (Profile(),)


def read_file(path: Path, problems: Problems) -> FileConfig:
    """The file at `path`; everything that is wrong with it goes to `problems`."""
    import yaml  # only who has a file needs it

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        problems.add(str(path), error.strerror or str(error))
        return FileConfig()
    except yaml.YAMLError as error:
        problems.add(str(path), f"not YAML: {error}")
        return FileConfig()
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        problems.add(str(path), f"not a {KIND} of {API_VERSION}")
        return FileConfig()
    return _Reader(problems).configuration(document)


class _Reader:
    """Walks the document; a field that is not known is told by its path."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def configuration(self, document: Mapping[str, Any]) -> FileConfig:
        known = ("apiVersion", "kind", "clientConnection", "leaderElection", "percentageOfNodesToScore", "profiles")
        self._only("", document, (*known, "parallelism"))
        percentage = self._number("percentageOfNodesToScore", document, 0, 100)
        said = document.get("profiles")
        profiles = tuple(self._profile(f"profiles[{n}]", one) for n, one in enumerate(said or ())) or (Profile(),)
        names = [profile.scheduler_name for profile in profiles]
        for index, name in enumerate(names):
            if name in names[:index]:
                self._problems.add(f"profiles[{index}].schedulerName", f'Duplicate value: "{name}"')
        return FileConfig(
            str(self._map("clientConnection", document).get("kubeconfig") or ""),
            self._map("leaderElection", document).get("leaderElect"),
            percentage,
            profiles,
        )

    def _profile(self, path: str, said: Any) -> Profile:
        if not isinstance(said, dict):
            self._problems.add(path, "must be an object")
            return Profile()
        self._only(path, said, ("schedulerName", "plugins", "pluginConfig"))
        profile = Profile(str(said.get("schedulerName") or "default-scheduler"))
        plugins = self._map("plugins", said, path)
        self._only(f"{path}.plugins", plugins, (*_POINTS, *_OTHERS))
        for point in _OTHERS:
            if plugins.get(point):
                self._problems.add(f"{path}.plugins.{point}", "cannot be chosen here")
        for point in _POINTS:
            profile = self._chosen(f"{path}.plugins.{point}", point, self._map(point, plugins, path), profile)
        for index, one in enumerate(said.get("pluginConfig") or ()):
            profile = self._arguments(f"{path}.pluginConfig[{index}]", one, profile)
        return profile

    def _chosen(self, path: str, point: str, said: Mapping[str, Any], profile: Profile) -> Profile:
        """Disabled first, then enabled, as upstream: `*` takes all away."""
        self._only(path, said, ("enabled", "disabled"))
        filters, scores, preempts = dict.fromkeys(profile.filters), dict(profile.scores), profile.preempts
        at = {"filter": point in ("multiPoint", "filter"), "score": point in ("multiPoint", "score")}
        for name in self._names(f"{path}.disabled", said.get("disabled"), star=True):
            if at["filter"]:
                filters = {} if name == "*" else {key: None for key in filters if key != name}
            if at["score"]:
                scores = {} if name == "*" else {key: weight for key, weight in scores.items() if key != name}
            if point in ("multiPoint", "postFilter") and name in ("*", "DefaultPreemption"):
                preempts = False
        enabled = said.get("enabled") or ()
        for index, name in enumerate(self._names(f"{path}.enabled", enabled)):
            weight = int(enabled[index].get("weight") or dict(DEFAULT_SCORES).get(name, 1))
            if at["filter"] and name in DEFAULT_FILTERS:
                filters[name] = None
            if at["score"] and name in dict(DEFAULT_SCORES):
                scores[name] = weight
            if name == "DefaultPreemption":
                preempts = True
            if point == "score" and name not in dict(DEFAULT_SCORES):
                self._problems.add(f"{path}.enabled[{index}].name", f'"{name}" does not score')
            if point == "filter" and name not in DEFAULT_FILTERS:
                self._problems.add(f"{path}.enabled[{index}].name", f'"{name}" does not filter')
        return replace(profile, filters=tuple(filters), scores=tuple(scores.items()), preempts=preempts)

    def _names(self, path: str, said: Any, *, star: bool = False) -> list[str]:
        names = []
        for index, one in enumerate(said or ()):
            name = str(one.get("name")) if isinstance(one, dict) else ""
            if name not in _KNOWN and not (star and name == "*"):
                self._problems.add(f"{path}[{index}].name", f'plugin "{name}" does not exist')
            names.append(name)
        return names

    def _arguments(self, path: str, said: Any, profile: Profile) -> Profile:
        name = said.get("name") if isinstance(said, dict) else None
        args = self._map("args", said, path) if isinstance(said, dict) else {}
        where = f"{path}.args"
        kind = args.get("kind")
        if kind not in (None, f"{name}Args"):
            self._problems.add(f"{where}.kind", f'must be "{name}Args", not "{kind}"')
        match name:
            case "NodeResourcesFit":
                return replace(profile, fit=self._fit(where, args))
            case "InterPodAffinity":
                self._only(where, args, ("apiVersion", "kind", "hardPodAffinityWeight"))
                weight = self._number("hardPodAffinityWeight", args, 0, 100, where, default=1)
                return replace(profile, hard_pod_affinity_weight=weight)
            case "PodTopologySpread":
                return replace(profile, spread=self._spread(where, args))
            case "NodeResourcesBalancedAllocation":
                self._only(where, args, ("apiVersion", "kind", "resources"))
                return replace(profile, balanced=tuple(self._resources(f"{where}.resources", args.get("resources"))))
        self._problems.add(f"{path}.name", f'"{name}" takes no arguments here')
        return profile

    def _fit(self, path: str, args: Mapping[str, Any]) -> Fit:
        self._only(path, args, ("apiVersion", "kind", "scoringStrategy"))
        said, path = self._map("scoringStrategy", args, path), f"{path}.scoringStrategy"
        self._only(path, said, ("type", "resources", "requestedToCapacityRatio"))
        strategy = str(said.get("type") or "LeastAllocated")
        if strategy not in ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"):
            supported = '"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"'
            self._problems.add(f"{path}.type", f'Unsupported value: "{strategy}": supported values: {supported}')
        weights = self._resources(f"{path}.resources", said.get("resources")) or {"cpu": 1, "memory": 1}
        shape = tuple(
            (
                self._number("utilization", one, 0, 100, f"{path}.requestedToCapacityRatio.shape[{index}]"),
                self._number("score", one, 0, 10, f"{path}.requestedToCapacityRatio.shape[{index}]"),
            )
            for index, one in enumerate(self._map("requestedToCapacityRatio", said, path).get("shape") or ())
        )
        if strategy == "RequestedToCapacityRatio":
            where = f"{path}.requestedToCapacityRatio.shape"
            if not shape:
                self._problems.add(where, "at least one point must be specified")
            if any(before[0] >= after[0] for before, after in pairwise(shape)):
                self._problems.add(where, "utilization values must be sorted in increasing order")
        return Fit(strategy, tuple(weights.items()), shape)

    def _spread(self, path: str, args: Mapping[str, Any]) -> Spread | None:
        self._only(path, args, ("apiVersion", "kind", "defaultingType", "defaultConstraints"))
        said, kind = args.get("defaultConstraints") or (), args.get("defaultingType", "System")
        if kind not in ("System", "List"):
            self._problems.add(
                f"{path}.defaultingType", f'Unsupported value: "{kind}": supported values: "List", "System"'
            )
        if kind == "System":
            if said:
                words = "when .defaultingType is System, default constraints cannot be specified"
                self._problems.add(f"{path}.defaultConstraints", words)
            return None
        for index, one in enumerate(said):
            where = f"{path}.defaultConstraints[{index}]"
            self._number("maxSkew", one, 1, 2**31 - 1, where)
            if one.get("labelSelector") is not None:
                words = "constraint must not define a selector, as they deduced for each pod"
                self._problems.add(f"{where}.labelSelector", words)
            if one.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
                supported = 'supported values: "DoNotSchedule", "ScheduleAnyway"'
                self._problems.add(
                    f"{where}.whenUnsatisfiable", f'Unsupported value: "{one.get("whenUnsatisfiable")}": {supported}'
                )
            if not one.get("topologyKey"):
                self._problems.add(f"{where}.topologyKey", "can not be empty")
        return tuple(spread_constraint(one) for one in said)

    def _resources(self, path: str, said: Any) -> dict[str, int]:
        return {
            str(one.get("name")): self._number("weight", one, 1, 100, f"{path}[{index}]", default=1)
            for index, one in enumerate(said or ())
        }

    def _map(self, key: str, said: Mapping[str, Any], path: str = "") -> Mapping[str, Any]:
        found = said.get(key)
        if found is not None and not isinstance(found, dict):
            self._problems.add(f"{path}.{key}".lstrip("."), "must be an object")
            return {}
        return found or {}

    def _number(
        self, key: str, said: Mapping[str, Any], low: int, high: int, path: str = "", *, default: int = 0
    ) -> int:
        found = said.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            self._problems.add(
                f"{path}.{key}".lstrip("."), f"Invalid value: {found!r}: not in valid range [{low}-{high}]"
            )
            return default
        return found

    def _only(self, path: str, said: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in said:
            if key not in known:
                self._problems.add(f"{path}.{key}".lstrip("."), "not supported here, or unknown")
