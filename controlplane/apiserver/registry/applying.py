"""Server-side apply decided (KEP-555, structured-merge-diff): an applied configuration, the object as it is and who
owns what of it → the object as it will be and who owns what then. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.meta import status
from apimachinery.meta.objects import copied
from apimachinery.meta.patches import PatchMeta
from controlplane.apiserver.registry import field_sets
from controlplane.apiserver.registry.field_sets import Fields, Step
from controlplane.apiserver.registry.merging import merge

Object = dict[str, Any]
Path = tuple[Step, ...]

KUBECTL = "kubectl"
"""The manager that takes over what `kubectl apply` did by patches before, as the annotation below tells."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ANNOTATIONS_MAX = 256 << 10
_BEFORE = "before-first-apply"
_METADATA = ("f:metadata",)  # every configuration has it: the name


class Applier(Struct, frozen=True):
    """Who applies, in which version, through which subresource ("" for none), when (RFC 3339). force: takes what is
    others'."""

    manager: str
    api_version: str
    subresource: str = ""
    now: str = ""
    force: bool = False

    def owns(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry of managedFields is the applier's, of whatever version."""
        return (
            entry.get("manager") == self.manager
            and entry.get("operation") == "Apply"
            and (entry.get("subresource") or "") == self.subresource
        )

    def entry(self, fields: Fields) -> Object:
        """The applier's entry."""
        made = {
            "manager": self.manager,
            "operation": "Apply",
            "apiVersion": self.api_version,
            "time": self.now,
            "fieldsType": "FieldsV1",
            "fieldsV1": field_sets.to_wire(fields),
        }
        return {**made, "subresource": self.subresource} if self.subresource else made


def plan_apply(live: Object, config: Object, schema: PatchMeta, applier: Applier) -> tuple[Object, list[Object]]:
    """The new object (its managedFields as they were) and the new managedFields; `live` itself when nothing changes.

    Raises ApiError 409 with every conflict as a cause.
    """
    entries: list[Object] = live["metadata"].get("managedFields") or []
    if not entries:
        entries = [_before(live, schema, applier)]
    wanted = field_sets.fields_of(config, schema)
    others = [entry for entry in entries if not applier.owns(entry)]
    before = union(entry for entry in entries if applier.owns(entry))
    kept = union(others)
    merged = merge(live, config, schema)
    take_away(merged, before - wanted - kept, wanted | kept, schema)
    changed, gone = field_sets.changes_between(live, merged, schema)
    # A null is a value too: what it takes away it takes from whoever had it.
    taken = changed | gone & wanted
    return settle(live, merged, config, wanted, others, before, lambda _: (taken, gone), applier, schema)


def settle(
    live: Object,
    merged: Object,
    config: Object,
    wanted: Fields,
    others: list[Object],
    before: Fields | None,
    changes: Callable[[Object], tuple[Fields, Fields]],
    applier: Applier,
    schema: PatchMeta,
) -> tuple[Object, list[Object]]:
    """The outcome of an apply that makes `merged`. wanted: the fields of `config`. others: the entries that are not the
    applier's. before: what it owned in its version (None: the entries change anyway). changes: what is taken from an
    entry, and what is gone for it."""
    left = _without_conflicts(others, changes, applier, live, schema)
    if applier.manager == KUBECTL:
        _keep_last_applied(merged, config)
    if before == wanted and left == others and _without_managers(merged) == _without_managers(live):
        return live, live["metadata"].get("managedFields") or []
    return merged, in_order([*left, applier.entry(wanted)] if wanted else left)


def in_order(entries: Iterable[Object]) -> list[Object]:
    """Entries as they are listed: appliers first, then by time, manager, version and subresource."""

    def place(entry: Object) -> tuple[str, ...]:
        return tuple(str(entry.get(key) or "") for key in ("operation", "time", "manager", "apiVersion", "subresource"))

    return sorted(entries, key=place)


def _before(live: Object, schema: PatchMeta, applier: Applier) -> Object:
    """The owner of everything in an object that nobody's writes were recorded of."""
    return {
        "manager": _BEFORE,
        "operation": "Update",
        "apiVersion": applier.api_version,
        "time": applier.now,
        "fieldsType": "FieldsV1",
        "fieldsV1": field_sets.wire_of(live, schema),
    }


def union(entries: Iterable[Object]) -> Fields:
    """What entries of managedFields own together."""
    return frozenset(path for entry in entries for path in field_sets.from_wire(entry.get("fieldsV1") or {}))


def _without_managers(obj: Object) -> Object:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def _without_conflicts(
    others: list[Object],
    changes: Callable[[Object], tuple[Fields, Fields]],
    applier: Applier,
    live: Object,
    schema: PatchMeta,
) -> list[Object]:
    """The other managers' entries, less what is taken from them and what is no longer there. Raises ApiError 409 for
    what must not be taken."""
    held = [(entry, field_sets.from_wire(entry.get("fieldsV1") or {}), *changes(entry)) for entry in others]
    if not applier.force:
        allowed = _last_applied(live, schema, applier) if applier.manager == KUBECTL else frozenset()
        refused = [(entry, sorted(fields & taken - allowed)) for entry, fields, taken, _ in held]
        if clashes := [(entry, paths) for entry, paths in refused if paths]:
            raise _conflict(clashes)
    left = []
    for entry, fields, taken, gone in held:
        remaining = fields - taken - gone
        if remaining == fields:
            left.append(entry)
        elif remaining:
            left.append({**entry, "fieldsV1": field_sets.to_wire(remaining)})
    return left


def _last_applied(live: Object, schema: PatchMeta, applier: Applier) -> Fields:
    """What kubectl applied by a patch and nobody has changed since."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return frozenset()
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return frozenset()
    if not isinstance(applied, dict) or applied.get("apiVersion") != applier.api_version:
        return frozenset()
    return frozenset(
        path
        for path in field_sets.fields_of(applied, schema)
        if field_sets.value_at(applied, path) == field_sets.value_at(live, path)
    )


def _keep_last_applied(merged: Object, config: Object) -> None:
    """Tell those who still apply by patches what was applied last: where the annotation is, it is kept up to date."""
    annotations = merged["metadata"].get("annotations") or {}
    if LAST_APPLIED not in annotations:
        return
    applied = copied(config)
    (applied["metadata"].get("annotations") or {}).pop(LAST_APPLIED, None)
    text = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    size = sum(len(key) + len(value) for key, value in {**annotations, LAST_APPLIED: text}.items())
    kept = {**annotations, LAST_APPLIED: text if size <= _ANNOTATIONS_MAX else ""}
    merged["metadata"] = {**merged["metadata"], "annotations": kept}


def take_away(obj: Object, given_up: Fields, owned: Fields, schema: PatchMeta) -> None:
    """Remove what the applier no longer sets and nobody else owns, in place; `obj` is copied along the way to it.

    A field of which nobody owns a part any more goes with all that is in it, defaults too: half a probe is none."""
    if not given_up:
        return
    obj.update(copied(obj))
    inside = {path[:length] for path in owned for length in range(1, len(path) + 1)}
    for path in sorted({_to_remove(path, given_up, owned, inside, schema) for path in given_up}):
        if path:
            field_sets.remove(obj, path)
            _drop_empty(obj, path[:-1], schema)


def _to_remove(path: Path, given_up: Fields, owned: Fields, inside: set[Path], schema: PatchMeta) -> Path:
    """The outermost thing to remove because a path was given up; empty for nothing."""
    for length in range(1, len(path) + 1):
        outer = path[:length]
        if outer in owned and _is_one_value(outer, schema):
            return ()  # somebody owns it in one
        if outer == _METADATA or outer[-1] == ".":
            continue
        if not outer[-1].startswith("f:"):
            # An item is its owner's; those of its fields do not keep it.
            if outer in given_up or (*outer, ".") in given_up:
                return outer
        elif outer not in inside:
            return outer
    return ()


def _is_one_value(path: Path, schema: PatchMeta) -> bool:
    node, strategies = schema, tuple[str, ...]()
    for step in path:
        if step.startswith("f:"):
            meta = node.field(step[2:])
            node, strategies = meta.schema, meta.strategies
    return path[-1].startswith("f:") and "replace" in strategies


def _drop_empty(obj: Object, path: Path, schema: PatchMeta) -> None:
    """A map or list of a built-in kind that has become empty is absent, as Go's types write it."""
    if not path or not path[-1].startswith("f:") or field_sets.value_at(obj, path) not in ({}, []):
        return
    node: PatchMeta = schema
    for step in path:
        if step.startswith("f:"):
            node = node.field(step[2:]).schema
    if field_sets.value_at(obj, path) == [] or getattr(node, "is_map", False):
        field_sets.remove(obj, path)


def _conflict(refused: list[tuple[Object, list[Path]]]) -> status.ApiError:
    clashes: dict[str, list[str]] = {}
    for entry, paths in refused:
        clashes.setdefault(_named(entry), []).extend(field_sets.spell(path) for path in paths)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": field}
        for manager, fields in sorted(clashes.items())
        for field in fields
    ]
    if len(causes) == 1:
        sentence = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
        return status.apply_conflict(causes, sentence)
    lines = ["\n- ".join([f"conflicts with {manager}:", *fields]) for manager, fields in sorted(clashes.items())]
    return status.apply_conflict(causes, f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines))


def _named(entry: Object) -> str:
    """A manager as conflicts name it; an applier is the same one in every version."""
    text = f'"{entry.get("manager")}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    return text if entry.get("operation") == "Apply" else f"{text} using {entry.get('apiVersion')}"
