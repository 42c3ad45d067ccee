"""What server-side apply must know of a built-in kind: x-kubernetes-list-type, -list-map-keys and -map-type.

Not quite what strategic merge patch goes by: a selector is one value, conditions without a patch strategy are keyed.
Source: kube-openapi's pkg/schemaconv (from OpenAPI to structured-merge-diff's types).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apimachinery.api.go_types import written
from apimachinery.api.schema import SCHEMA
from apimachinery.api.schema_fields import SchemaFields
from apimachinery.meta.patches import FieldMeta

_SET = ("merge",)
_ATOMIC = ("replace",)
# The one default of a key that built-in kinds have (1.32's OpenAPI v3 says it); ours does not hold defaults.
_KEY_DEFAULTS = {"protocol": "TCP"}
_nodes: dict[int, SchemaFields] = {}


def describe_apply(node: SchemaFields, name: str, found: Mapping[str, Any]) -> FieldMeta:
    """How a field is applied: "merge" with keys means a map list, "merge" alone a set, "replace" a map that is one
    value; any other list is one value too."""
    meta = _describe(node, found)
    return meta._replace(written=True) if name in _written(id(node.schema)) else meta


def _describe(node: SchemaFields, found: Mapping[str, Any]) -> FieldMeta:
    inner = node.resolved(found)
    if inner.get("type") != "array":
        atomic = "atomic" in (found.get("x-kubernetes-map-type"), inner.get("x-kubernetes-map-type"))
        return FieldMeta(_ATOMIC if atomic else (), "", node.node(inner))
    below = node.node(node.resolved(inner["items"]))
    kind = found.get("x-kubernetes-list-type")
    merge_key = found.get("x-kubernetes-patch-merge-key", "")
    keys = tuple(found.get("x-kubernetes-list-map-keys") or ())
    if kind is None and "merge" in found.get("x-kubernetes-patch-strategy", ""):
        kind = "map" if merge_key else "set"
    if kind == "map":
        keys = keys or (merge_key,)
        defaults = {key: _KEY_DEFAULTS[key] for key in keys if key in _KEY_DEFAULTS}
        whole = below.schema.get("x-kubernetes-map-type") == "atomic"
        return FieldMeta(_SET, keys[0], below, keys, defaults, whole=whole)
    return FieldMeta(_SET if kind == "set" else (), "", below)


@lru_cache(maxsize=1)
def _definitions() -> Mapping[int, str]:
    return {id(schema): name for name, schema in SCHEMA.definitions.items()}


@lru_cache(maxsize=1024)
def _written(schema: int) -> frozenset[str]:
    """The fields that Go always writes, of the definition with that identity."""
    name = _definitions().get(schema)
    return written(SCHEMA.definitions, name) if name is not None else frozenset()


@lru_cache(maxsize=512)
def apply_meta(gvk: tuple[str, str, str]) -> SchemaFields:
    """Of a built-in kind. Raises UnknownKind."""
    return SchemaFields(SCHEMA.definitions, SCHEMA.definitions[SCHEMA.definition_name(gvk)], describe_apply, _nodes)
