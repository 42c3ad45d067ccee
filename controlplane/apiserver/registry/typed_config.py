"""What structured-merge-diff refuses in an applied configuration: items of keyed lists without keys, or twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.meta.patches import FieldMeta, PatchMeta
from controlplane.apiserver.registry.field_sets import item_step, keys_of, spell

Object = dict[str, Any]


def find_ambiguities(config: Object, schema: PatchMeta, path: str = "") -> Iterator[str]:
    """Sentences, each with the path it is about."""
    for name, value in config.items():
        meta, here = schema.field(name), f"{path}.{name}"
        if isinstance(value, dict) and "replace" not in meta.strategies:
            yield from find_ambiguities(value, meta.schema, here)
        elif isinstance(value, list) and "merge" in meta.strategies:
            yield from _items(value, meta, here)


def _items(items: list[Any], meta: FieldMeta, here: str) -> Iterator[str]:
    keys, seen = keys_of(meta), set()
    for position, item in enumerate(items):
        if keys and isinstance(item, dict):
            missing = [key for key in keys if item.get(key) is None and key not in meta.defaults]
            if missing:
                yield (
                    f"{here}: element {position}: associative list with keys has an element that omits key field "
                    f'"{missing[0]}" (and doesn\'t have default value)'
                )
                continue
        step = item_step(meta, item)
        if step in seen:
            yield f"{here}: duplicate entries for key {spell((step,))}"
            continue
        seen.add(step)
        if keys and isinstance(item, dict):
            yield from find_ambiguities(item, meta.schema, here + spell((step,)))
