"""The API's schema: decoding a request's body as the real server's strict JSON decoder would.

A body is first shown to a compiled JSON Schema (`schema_gate`): most are sound, and then nothing else is done but to
spell quantities and times canonically. Only what the gate refuses is walked in Python (`schema_types`), which finds the
sentence of Go's decoder, the unknown fields, and the nulls to drop.

The definitions are read at first use (3 ms), each kind is compiled at its first request.
"""

from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

import orjson
from msgspec import Struct, field

from apimachinery.api.catalogue import Resource
from apimachinery.api.schema_fields import SchemaFields
from apimachinery.api.schema_gate import Gate, compile_gate
from apimachinery.api.schema_patch import describe_patch
from apimachinery.api.schema_types import Types
from apimachinery.api.schema_values import Findings
from apimachinery.kit.config import ConfigError
from apimachinery.meta.patches import PatchMeta
from apimachinery.meta.paths import Problem

DATA = FilePath(__file__).parent / "data"

GVK = tuple[str, str, str]


class SchemaMissing(ConfigError):
    """The extracted data is not there: installing kubelab writes it (setup.py)."""


class UnknownKind(KeyError):
    """No definition of that group, version and kind."""


class Decoded(Struct, frozen=True):
    """A body read: `object` has only known fields, no nulls, canonical quantities and times.

    `error` is Go's sentence for the first value of a wrong type, or None; `unknown` the paths of unknown fields.
    """

    object: dict[str, Any]
    error: str | None = None
    unknown: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Schema:
    """Schema of every built-in kind. Safe to share; everything inside is made once and never changed."""

    def __init__(self, data: FilePath = DATA) -> None:
        self._data = data
        self._gates: dict[GVK, Gate] = {}
        self._patch_metas: dict[GVK, SchemaFields] = {}
        self._patch_nodes: dict[int, SchemaFields] = {}

    def require(self) -> None:
        """What a server asks before it starts. Raises SchemaMissing."""
        assert self.definitions

    @cached_property
    def definitions(self) -> Mapping[str, Any]:
        """All definitions by name (`io.k8s.api.core.v1.Pod`), as upstream publishes them but without prose."""
        return self._read("definitions.json")

    @cached_property
    def _names(self) -> dict[GVK, str]:
        return {
            (each["group"], each["version"], each["kind"]): name
            for name, schema in self.definitions.items()
            for each in schema.get("x-kubernetes-group-version-kind", ())
        }

    @cached_property
    def _types(self) -> Types:
        return Types(self.definitions)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = orjson.loads((self._data / name).read_bytes())
        except FileNotFoundError:
            raise SchemaMissing(
                [f"{self._data / name}: missing: installing kubelab writes it (pip install .)"]
            ) from None
        return content

    def __contains__(self, gvk: GVK) -> bool:
        return gvk in self._names

    def definition_name(self, gvk: GVK) -> str:
        """The definition of a kind. Raises UnknownKind."""
        try:
            return self._names[gvk]
        except KeyError:
            raise UnknownKind(gvk) from None

    def is_clean(self, gvk: GVK, obj: Mapping[str, Any]) -> bool:
        """True when every value has its type, no field is unknown and none is null (about 10 µs)."""
        gate = self._gates.get(gvk)
        if gate is None:
            gate = self._gates[gvk] = compile_gate(self.definitions, self.definition_name(gvk))
        return gate(obj)

    def decode(self, gvk: GVK, obj: dict[str, Any]) -> Decoded:
        """Read a body of that kind. `obj` is consumed: use the result's `object`. Raises UnknownKind."""
        kind = self._types.named(self.definition_name(gvk))
        if self.is_clean(gvk, obj):
            try:
                return Decoded(kind.normalize(obj))
            except ValueError:
                pass  # the walk below finds its place and its words
        findings = Findings()
        cleaned = kind.clean(obj, findings)
        return Decoded(cleaned, findings.error, findings.unknown, findings.problems)

    def decode_part(self, definition: str, value: dict[str, Any]) -> Decoded:
        """Read a part of a body that has a definition of its own (`…meta.v1.ObjectMeta`); paths begin at the part."""
        findings = Findings()
        cleaned = self._types.named(definition).clean(value, findings)
        return Decoded(cleaned, findings.error, findings.unknown, findings.problems)

    def validate(self, gvk: GVK, obj: dict[str, Any]) -> list[Problem]:
        """Values of a wrong type; unknown fields apart. Changes nothing."""
        return [] if self.is_clean(gvk, obj) else self._walk(gvk, obj)[1].problems

    def unknown_fields(self, gvk: GVK, obj: dict[str, Any]) -> list[str]:
        """Paths of fields the kind does not have: `spec.containers[0].imge`. Changes nothing."""
        return [] if self.is_clean(gvk, obj) else self._walk(gvk, obj)[1].unknown

    def prune(self, gvk: GVK, obj: dict[str, Any]) -> dict[str, Any]:
        """`obj` without unknown fields and nulls; itself when there are none. Changes nothing."""
        return obj if self.is_clean(gvk, obj) else self._walk(gvk, obj)[0]

    def _walk(self, gvk: GVK, obj: dict[str, Any]) -> tuple[dict[str, Any], Findings]:
        findings = Findings()
        return self._types.named(self.definition_name(gvk)).clean(obj, findings), findings

    def patch_meta(self, gvk: GVK) -> PatchMeta:
        """What strategic merge must know of the kind. Raises UnknownKind."""
        found = self._patch_metas.get(gvk)
        if found is None:
            schema = self.definitions[self.definition_name(gvk)]
            found = self._patch_metas[gvk] = SchemaFields(self.definitions, schema, describe_patch, self._patch_nodes)
        return found

    def openapi_v2(
        self,
        resources: Sequence[Resource],
        more: Mapping[str, Any] | None = None,
        returned: Container[str] = (),
    ) -> dict[str, Any]:
        """The Swagger 2.0 document of all that is served (/openapi/v2). Costly (about 100 ms): serialize once.

        more: definitions of kinds that are not built in, by name. returned: kinds whose deletion answers with the
        object.
        """
        # Imported when asked for: 2 ms of a start otherwise.
        from apimachinery.api import openapi

        return openapi.document_v2({**self.definitions, **(more or {})}, self._descriptions(), resources, returned)

    def openapi_v3(
        self,
        group_version: str,
        resources: Sequence[Resource],
        more: Mapping[str, Any] | None = None,
        returned: Container[str] = (),
    ) -> dict[str, Any]:
        """The OpenAPI 3.0 document of `v1` or `apps/v1` (/openapi/v3/api/v1), of which resources are served.
        Serialize once. Raises KeyError when that is nothing."""
        from apimachinery.api import openapi

        definitions = {**self.definitions, **(more or {})}
        return openapi.document_v3(definitions, self._descriptions(), group_version, resources, returned)

    def openapi_about(self, path: str) -> dict[str, Any]:
        """The OpenAPI 3.0 document of what is about no kind, as `apis/apps`. Raises KeyError."""
        from apimachinery.api import openapi

        return openapi.document_about(self.definitions, self._descriptions(), path)

    def _descriptions(self) -> dict[str, Any]:
        return self._read("descriptions.json")


SCHEMA = Schema()
