"""Who manages which field: sets of paths and their wire form, FieldsV1 (KEP-555, structured-merge-diff).

A path is a tuple of steps: `f:NAME` for a field, `k:{"key":value}` for an item of a keyed list, `v:VALUE` for an item
of a set. `.` stands for the item itself, or for a map or list itself: who adds one owns it, who applies owns only what
is in it. Structs that Go always writes are there before anybody adds them (`FieldMeta.written`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from apimachinery.meta.patches import FieldMeta, PatchMeta

Step = str
Fields = frozenset[tuple[Step, ...]]

# Every object has these, and nobody manages them.
_UNMANAGED = frozenset({("f:apiVersion",), ("f:kind",)})
_UNMANAGED_METADATA = frozenset(
    f"f:{name}"
    for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "resourceVersion", "generation")
) | {".", "f:managedFields", "f:deletionTimestamp", "f:deletionGracePeriodSeconds"}
MISSING = object()

# Specs, as JSON in bytes, that are remembered with the steps of their fields; when there are more, all are forgotten.
_REMEMBERED_MAX, _REMEMBERED_SIZE = 256, 8 * 1024
_known: dict[tuple[PatchMeta, bytes], dict[str, Any]] = {}

# The keys of list items that the API defaults: what kubectl applied by patches may leave them out.
_KEY_DEFAULTS = {"protocol": "TCP"}


def fields_of(obj: Mapping[str, Any], schema: PatchMeta) -> Fields:
    """Every leaf that an applied object sets."""
    return frozenset(leaves_of(obj, schema))


def leaves_of(obj: Mapping[str, Any], schema: PatchMeta) -> dict[tuple[Step, ...], Any]:
    """The same with what each leaf holds (None for items, whose fields are leaves of their own)."""
    return {path: value for path, value in _walk(obj, schema, ()) if is_managed(path)}


def _walk(
    value: Any, schema: PatchMeta | None, path: tuple[Step, ...], *, added: bool = False, there: bool = False
) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """added: maps and lists themselves too, as of one who adds the value; there: to an object that is there already."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            meta = schema.field(name) if schema is not None else None
            here, stands = (*path, f"f:{name}"), there and meta is not None and meta.written
            if stands and below == {}:
                continue  # as it was before anybody added anything
            if isinstance(below, list) and meta is not None and "merge" in meta.strategies:
                if added and below and not stands:
                    yield (*here, "."), None
                yield from _walk_items(below, meta, here, added=added)
            elif isinstance(below, list) or (meta is not None and "replace" in meta.strategies):
                yield here, below
            else:
                if added and isinstance(below, dict) and below and not stands:
                    yield (*here, "."), None
                yield from _walk(below, meta.schema if meta is not None else None, here, added=added, there=stands)
    elif path:
        yield path, value


def _walk_items(
    items: list[Any], meta: FieldMeta, path: tuple[Step, ...], *, added: bool
) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Items that are there more than once are one leaf, which holds them all: nobody can say whose fields are whose."""
    found: dict[Step, list[Any]] = {}
    for item in items:
        found.setdefault(item_step(meta, item), []).append(item)
    for step, same in found.items():
        doubled = same if len(same) > 1 else None
        if step.startswith("v:"):
            yield (*path, step), doubled
            continue
        yield (*path, step, "."), same[0] if meta.whole else doubled
        if doubled is None and not meta.whole:
            yield from _walk(same[0], meta.schema, (*path, step), added=added)


def added_of(obj: Mapping[str, Any], schema: PatchMeta) -> Fields:
    """What who creates the object owns: every leaf, and the maps and lists that Go does not write by itself."""
    return frozenset(path for path, _ in _walk(obj, schema, (), added=True, there=True) if is_managed(path))


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any], schema: PatchMeta) -> tuple[Fields, Fields]:
    """The leaves of `new` that `old` has not, or holds otherwise, and those of `old` that `new` has not.

    What is equal on both sides is not walked: of a pod whose status changes, the status."""
    changed: set[tuple[Step, ...]] = set()
    gone: set[tuple[Step, ...]] = set()
    _compare(old, new, schema, (), changed, gone)
    return frozenset(filter(is_managed, changed)), frozenset(filter(is_managed, gone))


def _compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    schema: PatchMeta | None,
    path: tuple[Step, ...],
    changed: set[tuple[Step, ...]],
    gone: set[tuple[Step, ...]],
) -> None:
    for name in {**old, **new}:
        before, after = old.get(name, MISSING), new.get(name, MISSING)
        if before == after:
            continue
        meta = schema.field(name) if schema is not None else None
        whole = meta is not None and "replace" in meta.strategies
        if isinstance(before, dict) and isinstance(after, dict) and before and after and not whole:
            _compare(before, after, meta.schema if meta is not None else None, (*path, f"f:{name}"), changed, gone)
            continue
        had = {} if before is MISSING else dict(_walk({name: before}, schema, path, added=True, there=True))
        has = {} if after is MISSING else dict(_walk({name: after}, schema, path, added=True, there=True))
        changed.update(leaf for leaf, value in has.items() if leaf not in had or had[leaf] != value)
        gone.update(had.keys() - has.keys())
        itself = (*path, f"f:{name}", ".")
        if before is not MISSING:
            changed.discard(itself)  # it was there, with nothing in it
        if after is not MISSING:
            gone.discard(itself)
        elif itself in gone:
            gone.add(itself[:-1])  # as it is written where nothing of what is in it is the owner's


def is_managed(path: tuple[Step, ...]) -> bool:
    """Whether anybody can own that."""
    return path not in _UNMANAGED and not (path[0] == "f:metadata" and len(path) > 1 and path[1] in _UNMANAGED_METADATA)


def wire_of(obj: Mapping[str, Any], schema: PatchMeta) -> dict[str, Any]:
    """The FieldsV1 of who creates an object: `to_wire(added_of(obj, schema))` in a fifth of the time, which every
    creation takes. What it says of the spec is shared with other objects: do not mutate."""
    rest = {name: below for name, below in obj.items() if name not in ("apiVersion", "kind", "spec")}
    tree = _tree(rest, schema, there=True)
    if metadata := tree.get("f:metadata"):
        for step in _UNMANAGED_METADATA & metadata.keys():
            del metadata[step]
        if not metadata:
            del tree["f:metadata"]
    if "spec" not in obj:
        return tree
    tree |= _spec_tree(obj["spec"], schema)
    return {step: tree[step] for step in sorted(tree)}


def _spec_tree(spec: Any, schema: PatchMeta) -> dict[str, Any]:
    """The step of the spec and what is below; known already if another object of late had the same spec, as hundreds of
    pods of one template have: 1 µs instead of 15."""
    try:
        said = orjson.dumps(spec)
    except TypeError:  # too deep, or a number beyond 64 bits
        return _tree({"spec": spec}, schema, there=True)
    if len(said) > _REMEMBERED_SIZE:
        return _tree({"spec": spec}, schema, there=True)
    tree = _known.get((schema, said))
    if tree is None:
        if len(_known) >= _REMEMBERED_MAX:
            _known.clear()
        tree = _known[schema, said] = _tree({"spec": spec}, schema, there=True)
    return tree


def _tree(value: Mapping[str, Any], schema: PatchMeta | None, *, there: bool = False) -> dict[str, Any]:
    """there: as for `_walk`."""
    tree: dict[str, Any] = {}
    for name in sorted(value):
        below = value[name]
        if not isinstance(below, dict | list):
            tree[f"f:{name}"] = {}  # most are, and the schema has nothing to say about it
            continue
        meta = schema.field(name) if schema is not None else None
        stands = there and meta is not None and meta.written
        if stands and below == {}:
            continue
        if isinstance(below, dict) and below and not (meta is not None and "replace" in meta.strategies):
            inner = _tree(below, meta.schema if meta is not None else None, there=stands)
            if inner:
                tree[f"f:{name}"] = inner if stands else {".": {}, **inner}
            elif not stands:
                tree[f"f:{name}"] = {}
        elif isinstance(below, list) and meta is not None and "merge" in meta.strategies:
            if inner := _items(below, meta):
                tree[f"f:{name}"] = inner if stands else {".": {}, **inner}
        else:
            tree[f"f:{name}"] = {}
    return tree


def _items(items: list[Any], meta: FieldMeta) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        step = item_step(meta, item)
        if step.startswith("v:"):
            found[step] = {}
        else:
            found[step] = {} if step in found or meta.whole else {".": {}, **_tree(item, meta.schema)}
    return {step: found[step] for step in sorted(found)}


def holds(tree: Mapping[str, Any], path: tuple[Step, ...]) -> bool:
    """Whether a FieldsV1 has that leaf."""
    node: Any = tree
    for step in path:
        if step == "." and node == {}:
            return True  # written without the point: nothing of what is in it is there
        if not isinstance(node, dict) or step not in node:
            return False
        node = node[step]
    return not (isinstance(node, dict) and node)


def item_step(meta: FieldMeta, item: Any) -> Step:
    """The step of an item of a keyed list or (without keys) of a set; a key that the item lacks has its default, or is
    left out."""
    keys = keys_of(meta)
    if not keys or not isinstance(item, dict):
        return "v:" + orjson.dumps(item).decode()
    held = {key: item[key] if item.get(key) is not None else meta.defaults.get(key) for key in sorted(keys)}
    return "k:" + orjson.dumps({key: value for key, value in held.items() if value is not None}).decode()


def keys_of(meta: FieldMeta) -> tuple[str, ...]:
    """What names the items of a list; nothing for a set."""
    return meta.keys or ((meta.merge_key,) if meta.merge_key else ())


def to_wire(fields: Fields) -> dict[str, Any]:
    """The FieldsV1 of a set."""
    tree: dict[str, Any] = {}
    inside = {path[:-1] for path in fields if path[-1] != "."} | {path[:-2] for path in fields if path[-1] == "."}
    for path in sorted(fields):
        # What alone is left of a map, list or item is written without the point.
        node, path = tree, path[:-1] if path[-1] == "." and path[:-1] not in inside else path
        for step in path:
            node = node.setdefault(step, {})
    return tree


def from_wire(tree: Mapping[str, Any], path: tuple[Step, ...] = ()) -> Fields:
    """The set of a FieldsV1. What is not a set of steps is passed over."""
    found: set[tuple[Step, ...]] = set()
    for step, below in tree.items():
        here = (*path, step)
        if isinstance(below, Mapping) and below:
            found |= from_wire(below, here)
        else:
            found.add((*here, ".") if step.startswith("k:") else here)
    return frozenset(found)


def is_well_formed(tree: Mapping[str, Any]) -> bool:
    """Whether every step of a FieldsV1 is one: a client may send anything."""
    return all(_is_step(step) and isinstance(below, Mapping) and is_well_formed(below) for step, below in tree.items())


def _is_step(step: Step) -> bool:
    if step == "." or step.startswith("f:"):
        return True
    if not step.startswith(("k:", "v:", "i:")):
        return False
    try:
        found = orjson.loads(step[2:])
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) or not step.startswith("k:")


def value_at(obj: Any, path: tuple[Step, ...]) -> Any:
    """What the object has there; MISSING when it has nothing."""
    node = obj
    for step in path:
        if step == ".":
            continue
        if step.startswith("f:"):
            if not isinstance(node, dict) or step[2:] not in node:
                return MISSING
            node = node[step[2:]]
        else:
            position = _position(node, step)
            if position is None:
                return MISSING
            node = node[position]
    return node


def remove(obj: Any, path: tuple[Step, ...]) -> None:
    """Take the value away, in place; nothing when it is not there."""
    *parents, last = path if path[-1] != "." else path[:-1]
    node = value_at(obj, tuple(parents))
    if last.startswith("f:"):
        if isinstance(node, dict):
            node.pop(last[2:], None)
    elif isinstance(node, list) and (position := _position(node, last)) is not None:
        del node[position]


def _position(node: Any, step: Step) -> int | None:
    if not isinstance(node, list):
        return None
    try:
        wanted = orjson.loads(step[2:])
    except orjson.JSONDecodeError:
        return None
    for position, item in enumerate(node):
        if step.startswith("v:"):
            if item == wanted:
                return position
        elif (
            isinstance(item, dict)
            and isinstance(wanted, dict)
            and all(item.get(key, _KEY_DEFAULTS.get(key)) == value for key, value in wanted.items())
        ):
            return position
    return None


def spell(path: tuple[Step, ...]) -> str:
    """A path as conflicts show it: `.spec.containers[name="web"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += "." + step[2:]
        elif step.startswith("k:"):
            pairs = ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in orjson.loads(step[2:]).items())
            text += f"[{pairs}]"
        elif step != ".":
            text += f"[={step[2:]}]"
    return text
