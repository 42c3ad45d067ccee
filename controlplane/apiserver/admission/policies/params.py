"""The parameters that a binding refers to (generic.CollectParams)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import labels
from controlplane.apiserver.registry.conversion import convert, stored_resource
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]


class Misconfigured(Exception):
    """A policy or binding that cannot be used; the message is upstream's."""


class Params:
    """`by_kind`: the resource of an apiVersion and kind that is served now; `store`: where its objects are."""

    def __init__(
        self, by_kind: Callable[[str, str], Resource | None], store: Callable[[Resource], ObjectStore]
    ) -> None:
        self._by_kind, self._store = by_kind, store

    def resource(self, kind: tuple[str, str]) -> Resource:
        """Raises Misconfigured for a kind that nobody serves."""
        found = self._by_kind(*kind)
        if found is None:
            group_version, name = kind
            shown = group_version if "/" in group_version else f"/{group_version}"  # the core group has no name
            raise Misconfigured(f"failed to find resource referenced by paramKind: '{shown}, Kind={name}'")
        return found

    async def collect(
        self, kind: tuple[str, str] | None, reference: Mapping[str, Any] | None, namespace: str
    ) -> list[Object | None]:
        """One evaluation's parameter each; None where there are none to be had. Raises Misconfigured, ApiError."""
        if kind is None or reference is None:
            return [None]
        resource = self.resource(kind)
        where = reference.get("namespace") or ""
        if resource.namespaced:
            where = where or namespace
            if not where:
                raise Misconfigured(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                )
        elif where:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        store, name = self._store(stored_resource(resource)), reference.get("name") or ""
        if name:
            one = await store.find(where, name)
            found = [one] if one is not None else []
        elif reference.get("selector") is not None:
            try:
                selector = labels.from_label_selector(reference["selector"])
            except ValueError as error:
                raise Misconfigured(str(error)) from None
            found = [each for each in await store.all(where) if selector.matches(each["metadata"].get("labels") or {})]
        else:
            raise Misconfigured("one of name or selector must be provided")
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return [convert(each, resource) for each in found]
