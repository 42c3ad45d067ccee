"""Which resources the API server serves, each kind once: for the controllers that concern all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta.status import ApiError, is_not_found

_ATTEMPTS = 4
"""How often each of two dozen groups is asked: of a server that refuses some, all would hardly ever answer at once."""


async def served_resources(client: Client, *verbs: str) -> list[Resource]:
    """Return the resources that support all of `verbs`, in the preferred version of their group.

    Raises ApiError or ApiUnreachable when a group's answer is missing: a partial list must not pass for the whole.
    """
    groups = orjson.loads(await client.raw("GET", "/apis"))["groups"]
    versions = [group["preferredVersion"]["groupVersion"] for group in groups]
    paths = ["/api/v1", *(f"/apis/{version}" for version in versions)]
    lists = await asyncio.gather(*(_resources(client, path) for path in paths))
    return [
        resource
        for each in lists
        for entry in each.get("resources") or ()
        if "/" not in entry["name"] and set(verbs) <= set(entry.get("verbs") or ())
        for resource in (_resource(each["groupVersion"], entry),)
    ]


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
