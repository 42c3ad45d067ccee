"""An applied configuration merged into an object (KEP-555): maps and keyed lists by their keys, the rest replaced."""

from __future__ import annotations

from typing import Any

from apimachinery.meta.objects import copied
from apimachinery.meta.patches import FieldMeta, PatchMeta
from controlplane.apiserver.registry.field_sets import key_step

Object = dict[str, Any]


def merge(live: Object, config: Object, schema: PatchMeta) -> Object:
    """`live` with what `config` sets, a new object. An item of a keyed list is the same one when all keys are."""
    merged = dict(live)
    for name, value in config.items():
        if value is None:
            merged.pop(name, None)
            continue
        meta = schema.field(name)
        present = merged.get(name)
        if isinstance(present, dict) and isinstance(value, dict) and "replace" not in meta.strategies:
            merged[name] = merge(present, value, meta.schema)
        elif isinstance(present, list) and isinstance(value, list) and "merge" in meta.strategies:
            merged[name] = _merge_list(present, value, meta)
        else:
            merged[name] = _without_nulls(copied(value))
    return merged


def _merge_list(present: list[Any], applied: list[Any], meta: FieldMeta) -> list[Any]:
    keys = meta.keys or ((meta.merge_key,) if meta.merge_key else ())
    if not keys:
        return [*present, *(item for item in applied if item not in present)]
    merged = list(present)
    places = {key_step(keys, item): at for at, item in enumerate(present) if isinstance(item, dict)}
    for item in applied:
        at = places.get(key_step(keys, item)) if isinstance(item, dict) else None
        if at is None:
            merged.append(_without_nulls(copied(item)))
        else:
            merged[at] = merge(merged[at], item, meta.schema)
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
