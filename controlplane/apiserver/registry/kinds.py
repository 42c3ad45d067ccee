"""Kinds that are not built in: what the verbs must be told of a resource that a CustomResourceDefinition made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from apimachinery.api.catalogue import Resource
from apimachinery.api.schema import SCHEMA
from apimachinery.api.schema_apply import apply_meta as built_in_apply_meta
from apimachinery.meta.patches import PatchMeta
from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]


class KindRules(Protocol):
    """One version of a defined kind."""

    @property
    def settled(self) -> bool:
        """Whether what is stored in this version has the shape that its schema gives: the definition was never
        changed. If not, fields are pruned and defaults filled in whenever an object is read."""
        ...

    @property
    def warning(self) -> str:
        """What every client of this version is told; "" for one that is not deprecated."""
        ...

    @property
    def patch_meta(self) -> PatchMeta:
        """Which lists are keyed, for server-side apply."""
        ...

    @property
    def column_definitions(self) -> list[Object]:
        """The columns of its tables."""
        ...

    def cells(self, obj: Object, now: datetime) -> list[Any]:
        """One value a column."""
        ...

    def read(self, call: Call, obj: Object, where: str) -> Object:
        """A body, of which only apiVersion and kind have been looked at: pruned and defaulted, in place. where: how a
        refusal begins. Raises ApiError 400 for a strict decoding error."""
        ...

    def drop_unknown(self, obj: Object, where: str) -> list[str]:
        """Take from a body, in place, the fields that the kind has not; returns their paths. where: how a refusal
        begins. Raises ApiError 400 for metadata of a wrong type."""
        ...

    @property
    def selects_as_stored(self) -> bool:
        """Whether the values of the version's selectable fields are the same in an object as it is stored, in whatever
        version. If not, a webhook or a default decides them."""
        ...

    def convert(self, obj: Object) -> Object:
        """An object of any version of the kind in this one, as the strategy None does it; mutates nothing."""
        ...

    async def convert_all(self, objects: list[Object]) -> list[Object]:
        """Objects of any versions in this one, by a webhook where the definition has one. Raises ApiError 500."""
        ...

    def scale_of(self, obj: Object) -> Object:
        """Its Scale; nothing said of replicas is none."""
        ...

    def missing_replicas(self, obj: Object) -> str:
        """Where the definition says that replicas are, if the object has none there; "" for one that has."""
        ...

    def with_replicas(self, obj: Object, replicas: int) -> Object:
        """The object with another number of replicas, a new one."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DefinedResource(Resource):
    """One served version of a kind that a CustomResourceDefinition made; the same only as itself.

    `versions` are all of the kind's, served or not. `definition` is the version's entry in spec.versions.
    """

    rules: KindRules
    definition: Any
    listed_as: str
    versions: Mapping[str, DefinedResource] = field(repr=False)

    @property
    def list_kind(self) -> str:
        return self.listed_as

    @property
    def stored(self) -> DefinedResource:
        """The resource of the version that is kept in the store, which may not be served."""
        return self.versions[self.storage_version]


def apply_meta(resource: Resource) -> PatchMeta:
    """What server-side apply, and who records who owns what, must know of a kind."""
    if isinstance(resource, DefinedResource):
        return resource.rules.patch_meta
    return built_in_apply_meta(resource.gvk)


def patch_meta(resource: Resource) -> PatchMeta:
    """What merging must know of a kind."""
    if isinstance(resource, DefinedResource):
        return resource.rules.patch_meta
    return SCHEMA.patch_meta(resource.gvk)
