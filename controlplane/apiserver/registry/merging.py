"""An applied configuration merged into an object (KEP-555): maps and keyed lists by their keys, the rest replaced."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

from apimachinery.meta.objects import copied
from apimachinery.meta.patches import FieldMeta, PatchMeta
from controlplane.apiserver.registry.field_sets import Step, item_step

Object = dict[str, Any]


def merge(live: Object, config: Object, schema: PatchMeta) -> Object:
    """`live` with what `config` sets, a new object. An item of a keyed list is the same one when all keys are."""
    merged = dict(live)
    for name, value in config.items():
        meta = schema.field(name)
        present = merged.get(name)
        if value is None:
            if not _is_merged(present, meta):
                merged.pop(name, None)
            continue
        if isinstance(present, dict) and isinstance(value, dict) and "replace" not in meta.strategies:
            merged[name] = merge(present, value, meta.schema)
        elif isinstance(present, list) and isinstance(value, list) and "merge" in meta.strategies:
            merged[name] = _merge_list(present, value, meta)
        else:
            merged[name] = _without_nulls(copied(value))
    return merged


def _is_merged(present: Any, meta: FieldMeta) -> bool:
    """Whether a null adds nothing to the value, as an empty map or list would, instead of taking it away."""
    if isinstance(present, dict):
        return bool(present) and "replace" not in meta.strategies
    return isinstance(present, list) and bool(present) and "merge" in meta.strategies


def _merge_list(present: list[Any], applied: list[Any], meta: FieldMeta) -> list[Any]:
    live, wanted = [item_step(meta, item) for item in present], [item_step(meta, item) for item in applied]
    times = Counter(live)
    # Doubled items are replaced, not merged with: nobody can say with which.
    once = {step: item for step, item in zip(live, present, strict=True) if times[step] == 1}
    merged = []
    for from_live, at in _order(live, wanted):
        if from_live:
            merged.append(present[at])
        elif isinstance(item := applied[at], dict) and isinstance(held := once.get(wanted[at]), dict):
            merged.append(merge(held, item, meta.schema))
        else:
            merged.append(_without_nulls(copied(item)))
    return merged


def _order(live: list[Step], wanted: list[Step]) -> Iterator[tuple[bool, int]]:
    """The merged list, item by item: whether it is the live list's alone, and where it stands there, else among what is
    applied.

    What is applied keeps its order; what only the live list has stays behind what it stood behind."""
    present, applied = set(live), set(wanted)
    shared = deque(step for step in wanted if step in present)
    done: set[Step] = set()
    left = right = 0
    while left < len(live) or right < len(wanted):
        item = live[left] if left < len(live) else None
        following = wanted[right] if right < len(wanted) else None
        if item is not None and item not in applied:
            yield True, left
            left += 1
            continue
        if item is not None and item != following and following and shared and item != shared[0]:
            left += 1  # its place is where the applied list has it
            continue
        if item is not None and (item == following or item in done):
            left += 1
        if following is not None:
            done.add(following)
            if shared and shared[0] == following:
                shared.popleft()
            yield False, right
            right += 1


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
