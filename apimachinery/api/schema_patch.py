"""What strategic merge patch must know, read from the definitions' x-kubernetes-patch-* extensions."""

from collections.abc import Mapping
from typing import Any

from apimachinery.api.schema_fields import SchemaFields
from apimachinery.meta.patches import FieldMeta


def describe_patch(node: SchemaFields, name: str, found: Mapping[str, Any]) -> FieldMeta:
    """The strategy of a field. An unknown one merges as plain JSON does."""
    strategies = found.get("x-kubernetes-patch-strategy", "")
    inner = node.resolved(found)
    if inner.get("type") == "array":
        inner = node.resolved(inner["items"])
    return FieldMeta(
        tuple(strategies.split(",")) if strategies else (),
        found.get("x-kubernetes-patch-merge-key", ""),
        node.node(inner),
        tuple(found.get("x-kubernetes-list-map-keys") or ()),
    )
