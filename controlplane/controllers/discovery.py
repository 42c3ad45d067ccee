"""Which resources the API server serves, each kind once: for the controllers that concern all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta.status import ApiError, is_not_found

_ATTEMPTS = 4
"""How often each of two dozen groups is asked: of a server that refuses some, all would hardly ever answer at once."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the API server serves. missing: the versions of groups that gave no answer: an aggregated server is away.

    versions: all of every group, also those that are not preferred.
    """

    resources: list[Resource]
    missing: list[str]
    versions: frozenset[str]

    def why_missing(self) -> str:
        """Say what is missing, as client-go does; empty when nothing is."""
        said = ", ".join(f"{each}: stale GroupVersion discovery: {each}" for each in sorted(self.missing))
        return f"unable to retrieve the complete list of server APIs: {said}" if said else ""


async def served_resources(client: Client, *verbs: str) -> Served:
    """Return the resources that support all of `verbs`, each in its group's preferred version or else in the first.

    Raises ApiError or ApiUnreachable when nobody says which groups there are.
    """
    groups = orjson.loads(await client.raw("GET", "/apis"))["groups"]
    versions = ["v1", *(version for group in groups for version in _versions_of(group))]
    lists = await asyncio.gather(*(_of_version(client, version) for version in versions))
    found: dict[tuple[str, str], tuple[Resource, frozenset[str]]] = {}
    for each in lists:
        if each is None:
            continue
        for entry in each.get("resources") or ():
            if "/" not in entry["name"]:
                made = _resource(each["groupVersion"], entry)
                found.setdefault((made.group, made.plural), (made, frozenset(entry.get("verbs") or ())))
    missing = [version for version, each in zip(versions, lists, strict=True) if each is None]
    able = [resource for resource, offered in found.values() if offered.issuperset(verbs)]
    return Served(able, missing, frozenset(versions))


def _versions_of(group: dict[str, Any]) -> list[str]:
    """The group's versions, the preferred one first."""
    preferred = group["preferredVersion"]["groupVersion"]
    others = (each["groupVersion"] for each in group.get("versions") or ())
    return [preferred, *(each for each in others if each != preferred)]


class ServedKinds:
    """The resource of each kind, asked for when a kind is named that is not known yet."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Resource] = {}

    async def resource(self, group: str, kind: str, *, namespaced: bool = True) -> Resource:
        """Return the resource of a kind, in the version that its group prefers.

        Only the kind's own group is asked: another that does not answer is nobody's concern here.
        Raises LookupError when nobody serves it (or not in namespaces, where that is asked for), ApiError.
        """
        found = self._known.get((group, kind))
        if found is None:
            for version in await served_versions(self._client, group) if group else ["v1"]:
                listed = await _resources(self._client, f"/apis/{group}/{version}" if group else f"/api/{version}")
                for entry in listed.get("resources") or ():
                    if "/" not in entry["name"] and "get" in (entry.get("verbs") or ()):
                        made = _resource(listed["groupVersion"], entry)
                        self._known.setdefault((group, made.kind), made)
            found = self._known.get((group, kind))
        if found is None or (namespaced and not found.namespaced):
            raise LookupError(f'no matches for kind "{kind}" in group "{group}"')
        return found


async def served_versions(client: Client, group: str) -> list[str]:
    """Return the versions of a group, the preferred one first; none when nobody serves it. Raises ApiError."""
    try:
        found = orjson.loads(await client.raw("GET", f"/apis/{group}"))
    except ApiError as error:
        if is_not_found(error):
            return []
        raise
    preferred = found["preferredVersion"]["version"]
    return [preferred, *(each["version"] for each in found["versions"] if each["version"] != preferred)]


async def _of_version(client: Client, version: str) -> dict[str, Any] | None:
    """Return what one version of a group holds; None when that cannot be had."""
    try:
        return await _resources(client, f"/apis/{version}" if "/" in version else f"/api/{version}")
    except (ApiError, ApiUnreachable):
        return None


async def _resources(client: Client, path: str) -> dict[str, Any]:
    for attempt in range(_ATTEMPTS):
        try:
            found: dict[str, Any] = orjson.loads(await client.raw("GET", path))
            return found
        except ApiError as error:
            if is_not_found(error):  # the group vanished between the two questions
                break
            if attempt + 1 == _ATTEMPTS or error.code < 429:
                raise
        except ApiUnreachable:
            if attempt + 1 == _ATTEMPTS:
                raise
    return {"groupVersion": "", "resources": []}


def _resource(group_version: str, entry: dict[str, Any]) -> Resource:
    """Return the catalogue's resource, or one made of the discovery entry for a custom resource."""
    group, _, version = group_version.rpartition("/")
    known = CATALOGUE.find(group, version, entry["name"])
    if known is not None:
        return known
    return Resource(
        group=group,
        version=version,
        kind=entry["kind"],
        plural=entry["name"],
        singular=entry.get("singularName") or entry["kind"].lower(),
        short_names=tuple(entry.get("shortNames") or ()),
        categories=tuple(entry.get("categories") or ()),
        namespaced=bool(entry["namespaced"]),
        verbs=tuple(entry.get("verbs") or ()),
        subresources=(),
        storage_group=group,
        storage_version=version,
    )
