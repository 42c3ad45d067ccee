"""Reading a configuration document field by field. What Go's decoder would not take is told in its words, and all else
that is wrong by its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apimachinery.kit.config import Problems
from apimachinery.meta.config_fields import mismatch
from apimachinery.meta.times import parse_duration

ROOT = "KubeSchedulerConfiguration"
# Go's types, by the last part of a path; what is not here is a PluginSet.
_TYPES = {
    "profiles": "KubeSchedulerProfile", "plugins": "Plugins", "enabled": "Plugin", "disabled": "Plugin",
    "pluginConfig": "PluginConfig", "extenders": "Extender", "tlsConfig": "ExtenderTLSConfig",
    "managedResources": "ExtenderManagedResource", "leaderElection": "LeaderElectionConfiguration",
    "clientConnection": "ClientConnectionConfiguration", "scoringStrategy": "ScoringStrategy",
    "resources": "ResourceSpec", "requestedToCapacityRatio": "RequestedToCapacityRatioParam",
    "shape": "UtilizationShapePoint", "defaultConstraints": "TopologySpreadConstraint", "addedAffinity": "NodeAffinity",
    "args": "RawExtension",
}  # fmt: skip
_LONG = ("podInitialBackoffSeconds", "podMaxBackoffSeconds", "bindTimeoutSeconds")
_INDEX = re.compile(r"\[\d+\]")


class Fields:
    """Readers of one kind of field each; where a field is wrong, they answer with what a missing one means.

    wrong: values of other types, unknown: names of fields that there are not: for either, upstream looks no further.
    problems: the rest. root, kind: the path that Go's decoder starts from, and the type of what is there.
    """

    def __init__(self, problems: Problems, root: str = "", kind: str = ROOT) -> None:
        self.problems = problems
        self.wrong: list[str] = []
        self.unknown: list[str] = []
        self._root, self._kind = root, kind

    def only(
        self, path: str, said: Mapping[str, Any], known: tuple[str, ...], *, unsupported: tuple[str, ...] = ()
    ) -> None:
        """Tell of every field that is not known, and of those that upstream knows and we do not follow."""
        for key in said:
            if key in unsupported:
                self.problems.add(at(path, key), "not supported here")
            elif key not in known:
                self.unknown.append(f'unknown field "{self._inside(at(path, key))}"')

    def _inside(self, path: str) -> str:
        return path.removeprefix(self._root).removeprefix(".")

    def _refuse(self, path: str, key: str, found: Any, kind: str) -> None:
        inside = _INDEX.sub("", self._inside(path))
        owner = _TYPES.get(inside.rpartition(".")[2], "PluginSet") if inside else self._kind
        self.wrong.append(mismatch(owner, at(inside, key), found, kind))

    def object(self, key: str, said: Mapping[str, Any], path: str = "") -> Mapping[str, Any]:
        """An object; empty when it is missing."""
        found = said.get(key)
        if found is not None and not isinstance(found, dict):
            self._refuse(path, key, found, f"v1.{_TYPES.get(key, 'PluginSet')}")
            return {}
        return found or {}

    def objects(self, key: str, said: Mapping[str, Any], path: str = "") -> list[tuple[str, Mapping[str, Any]]]:
        """The objects of a list, each with its path."""
        found = said.get(key) or []
        kind = f"v1.{_TYPES.get(key, 'PluginSet')}"
        if not isinstance(found, list):
            self._refuse(path, key, found, f"[]{kind}")
            return []
        items: list[tuple[str, Mapping[str, Any]]] = []
        for index, one in enumerate(found):
            where = f"{at(path, key)}[{index}]"
            if isinstance(one, dict):
                items.append((where, one))
            elif one is not None:
                self._refuse(path, key, one, kind)
        return items

    def texts(self, key: str, said: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
        """The strings of a list."""
        found = said.get(key) or []
        if not isinstance(found, list):
            self._refuse(path, key, found, "[]string")
            return ()
        for one in found:
            if not isinstance(one, str):
                self._refuse(path, key, one, "string")
        return tuple(one for one in found if isinstance(one, str))

    def text(self, key: str, said: Mapping[str, Any], path: str = "") -> str:
        """A string; empty when it is missing."""
        found = said.get(key)
        if found is not None and not isinstance(found, str):
            self._refuse(path, key, found, "string")
            return ""
        return found or ""

    def switch(self, key: str, said: Mapping[str, Any], path: str = "") -> bool:
        """true or false, which it is when it is missing."""
        found = said.get(key)
        if found is not None and not isinstance(found, bool):
            self._refuse(path, key, found, "bool")
        return found is True

    def number(
        self,
        key: str,
        said: Mapping[str, Any],
        low: int,
        high: int = 2**31 - 1,
        path: str = "",
        *,
        default: int = 0,
        words: str = "",
    ) -> int:
        """An integer from `low` to `high`. words: upstream's, for one outside."""
        found = said.get(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int):
            self._refuse(path, key, found, "int64" if key in _LONG else "int32")
            return default
        if not low <= found <= high:
            told = words or f"not in valid range [{low}-{high}]"
            self.problems.add(at(path, key), f"Invalid value: {found!r}: {told}")
            return default
        return found

    def seconds(self, key: str, said: Mapping[str, Any], path: str = "", *, default: float, words: str = "") -> float:
        """A duration as Go writes it, longer than nothing. words: upstream's, for one below that."""
        found = said.get(key)
        if found is None:
            return default
        if not isinstance(found, str):
            # A metav1.Duration reads its own text, and knows of no field.
            name = {bool: "bool", list: "array", dict: "object"}.get(type(found), "number")
            self.wrong.append(f"json: cannot unmarshal {name} into Go value of type string")
            return default
        try:
            seconds = parse_duration(found)
        except ValueError as error:
            self.wrong.append(str(error))
            return default
        if seconds < 0 and words:
            self.problems.add(at(path, key), f"Invalid value: {found}: {words}")
        return seconds if seconds > 0 else default


def at(path: str, key: str) -> str:
    """The path of a field of the object at `path`."""
    return f"{path}.{key}" if path else key
