"""The APIServices as they are stored, ready to be asked: who serves what, and in which order groups stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apimachinery.meta.versions import preference

Object = dict[str, Any]

AVAILABLE = "Available"


def object_name(group: str, version: str) -> str:
    """The name that an APIService must have: `v1.apps`, and `v1.` for the core group."""
    return f"{version}.{group}"


def service_of(api: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The reference to the Service behind it; None for one that this server serves itself."""
    found: Mapping[str, Any] | None = api["spec"].get("service")
    return found


def condition_of(api: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The Available condition."""
    conditions: Iterable[Mapping[str, Any]] = (api.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == AVAILABLE), None)


def is_available(api: Mapping[str, Any]) -> bool:
    """Whether requests are to be handed on."""
    return (condition_of(api) or {}).get("status") == "True"


class ApiServices:
    """Kept by a feed: `put` and `drop`. Listeners hear the name of whatever changed, after the change."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.generation = 0
        self.any_remote = asyncio.Event()
        """Set once there is, or was, an APIService with a Service."""

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call it from now on, and for everything that is there."""
        self._listeners.append(listener)
        for name in self._objects:
            listener(name)

    def put(self, api: Object) -> None:
        name = api["metadata"]["name"]
        self._objects[name] = api
        if service_of(api) is not None:
            self.any_remote.set()
        self._changed(name)

    def drop(self, api: Object) -> None:
        name = api["metadata"]["name"]
        if self._objects.pop(name, None) is not None:
            self._changed(name)

    def _changed(self, name: str) -> None:
        self.generation += 1
        for listener in self._listeners:
            listener(name)

    def get(self, name: str) -> Object | None:
        return self._objects.get(name)

    def remote(self) -> list[Object]:
        """Those with a Service."""
        return [api for api in self._objects.values() if service_of(api) is not None]

    def server_of(self, group: str, version: str) -> Object | None:
        """The APIService with a Service that serves a group version, or None."""
        api = self._objects.get(object_name(group, version))
        return api if api is not None and service_of(api) is not None else None

    def groups(self) -> dict[str, list[str]]:
        """The versions of each group, the preferred one first, groups by priority; without the core group."""
        return sorted_groups(self._objects.values())

    def priorities(self) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
        """(group → its highest groupPriorityMinimum, (group, version) → versionPriority)."""
        groups: dict[str, int] = {}
        versions: dict[tuple[str, str], int] = {}
        for api in self._objects.values():
            spec = api["spec"]
            group, version = spec.get("group") or "", spec.get("version") or ""
            groups[group] = max(groups.get(group, 0), int(spec.get("groupPriorityMinimum") or 0))
            versions[group, version] = int(spec.get("versionPriority") or 0)
        return groups, versions


def sorted_groups(apis: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """As upstream's SortedByGroupAndVersion: groups by priority then name, versions by priority then kube order."""

    def by_group(api: Mapping[str, Any]) -> tuple[int, str]:
        return -int(api["spec"].get("groupPriorityMinimum") or 0), api["metadata"]["name"]

    found: dict[str, list[Mapping[str, Any]]] = {}
    for api in sorted(apis, key=by_group):
        found.setdefault(api["spec"].get("group") or "", []).append(api["spec"])
    found.pop("", None)

    def by_version(spec: Mapping[str, Any]) -> tuple[int, tuple[int, int, int, str]]:
        return -int(spec.get("versionPriority") or 0), preference(spec["version"])

    return {group: [spec["version"] for spec in sorted(specs, key=by_version)] for group, specs in found.items()}
