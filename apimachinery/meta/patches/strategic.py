"""Strategic merge patch: a merge patch that knows which lists are keyed, with directives for the rest.

k8s.io/apimachinery/pkg/util/strategicpatch and the design "preserve order in strategic merge patch". Directives:
`$patch: replace | delete | merge`, `$retainKeys`, `$setElementOrder/FIELD`, `$deleteFromPrimitiveList/FIELD`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from apimachinery.meta.go_print import plain
from apimachinery.meta.objects import copied
from apimachinery.meta.patches.errors import PatchError

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
ELEMENT_ORDER = "$setElementOrder/"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"

_BAD_ORDER_LIST = "invalid patch format of setElementOrder list"
_BAD_PRIMITIVE_LIST = "invalid patch format of primitive list"
_BAD_RETAIN_KEYS = "invalid patch format of retainKeys"


class FieldMeta(NamedTuple):
    """How a field is merged: by `strategies` (of "merge", "replace", "retainKeys"), list items by `merge_key`.

    keys: what together names an item (x-kubernetes-list-map-keys), which server-side apply goes by; defaults: of the
    keys that an item may leave out. written: it is there even where nobody gave it, as Go writes structs. whole:
    each item is one value."""

    strategies: tuple[str, ...]
    merge_key: str
    schema: "PatchMeta"
    keys: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = MappingProxyType({})
    written: bool = False
    whole: bool = False


class PatchMeta(Protocol):
    """What strategic merge must know of a type."""

    def field(self, name: str) -> FieldMeta:
        """The field's own strategy, and the schema of its value (of its items when it is a list)."""
        ...


def strategic_merge(document: dict[str, Any], patch: dict[str, Any], schema: PatchMeta) -> dict[str, Any]:
    """`document` with `patch` applied as the API server applies it. Raises PatchError; mutates nothing."""
    return strategic_merge_into(copied(document), patch, schema)


def strategic_merge_into(document: dict[str, Any], patch: dict[str, Any], schema: PatchMeta) -> dict[str, Any]:
    """The same for a document of the caller's own, which is used up, not copied; the patch is left alone."""
    if not isinstance(patch, dict):
        raise PatchError("a strategic merge patch must be an object", malformed=True)
    return _merge_map(document, copied(patch), schema)


def _merge_map(original: dict[str, Any], patch: dict[str, Any], schema: PatchMeta) -> dict[str, Any]:
    if DIRECTIVE in patch:
        directive = patch[DIRECTIVE]
        if directive == "replace":
            del patch[DIRECTIVE]
            return patch
        if directive == "delete":
            return {}
        raise PatchError(f"unknown patch type: {plain(directive)} in map: {plain(patch)}", unforeseen=True)
    _retain_keys(original, patch)
    _apply_orders(original, patch, schema)
    for key, value in patch.items():
        deletion = key.startswith(DELETE_PRIMITIVES)
        if deletion:
            key = key.removeprefix(DELETE_PRIMITIVES)
            if not isinstance(value, list):
                raise PatchError(_BAD_PRIMITIVE_LIST, malformed=True)
        if value is None:
            original.pop(key, None)
            continue
        present = original.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            meta = schema.field(key)
            replace = "replace" in meta.strategies
            original[key] = value if replace else _merge_map(present, value, meta.schema)
        elif isinstance(present, list) and isinstance(value, list):
            meta = schema.field(key)
            original[key] = (
                _merge_list(present, value, meta, deletion) if "merge" in meta.strategies or deletion else value
            )
        elif not deletion:
            _set(original, key, value)
    return original


def _set(original: dict[str, Any], key: str, value: Any) -> None:
    cleaned, keep = _without_directives(_without_nulls(value))
    if keep:
        original[key] = cleaned
    else:
        original.pop(key, None)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _without_directives(value: Any) -> tuple[Any, bool]:
    """The value as a new field would hold it, and whether it is to be kept at all."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return None, False
        kept = {}
        for key, inner in value.items():
            cleaned, keep = _without_directives(inner)
            if keep and not _is_directive(key):
                kept[key] = cleaned
        return kept, True
    if isinstance(value, list):
        return [cleaned for cleaned, keep in map(_without_directives, value) if keep], True
    return value, True


def is_directive(key: str) -> bool:
    """Whether a key is an instruction to strategic merge patch rather than a field."""
    return key == DIRECTIVE or _is_directive(key)


def _is_directive(key: str) -> bool:
    return key == RETAIN_KEYS or key.startswith((ELEMENT_ORDER, DELETE_PRIMITIVES))


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    if RETAIN_KEYS not in patch:
        return
    retained = patch.pop(RETAIN_KEYS)
    if not isinstance(retained, list):
        raise PatchError(_BAD_RETAIN_KEYS, malformed=True)
    for key, value in patch.items():
        if value is not None and not _is_directive(key) and key not in retained:
            raise PatchError(_BAD_RETAIN_KEYS, malformed=True)
    for key in [key for key in original if key not in retained]:
        del original[key]


def _apply_orders(original: dict[str, Any], patch: dict[str, Any], schema: PatchMeta) -> None:
    """Merge each list that has a $setElementOrder; the order wanted goes before the patch's and the live one."""
    for directive in [key for key in patch if key.startswith(ELEMENT_ORDER)]:
        order = patch.pop(directive)
        field = directive.removeprefix(ELEMENT_ORDER)
        present, changes = original.get(field), patch.get(field)
        if not isinstance(order, list):
            raise PatchError(_BAD_ORDER_LIST, malformed=True)
        if (present is not None and not isinstance(present, list)) or (
            changes is not None and not isinstance(changes, list)
        ):
            raise PatchError(_BAD_ORDER_LIST, malformed=True)
        meta = schema.field(field)
        _check_order(changes or [], order, meta.merge_key)
        if field in patch and changes is None:
            continue  # an explicit null: the field goes away in the main pass
        if present is None and changes is None:
            continue
        patch.pop(field, None)
        if present is None:
            merged, _ = _without_directives(_without_nulls(changes))
        elif changes is None:
            merged = present
        elif "merge" in meta.strategies:
            merged = _merge_list(present, changes, meta, False)
        else:
            merged = changes
        original[field] = _in_order(merged, order, present or [], meta.merge_key)


def _check_order(changes: list[Any], order: list[Any], merge_key: str) -> None:
    if not changes or not order:
        return
    wanted = [_identity(item, merge_key) for item in order]
    position = 0
    for item in changes:
        if isinstance(item, dict) and DIRECTIVE in item:
            continue
        identity = _identity(item, merge_key)
        try:
            position = wanted.index(identity, position) + 1
        except ValueError:
            raise PatchError(
                f"The order in patch list:\n{plain(changes)}\n doesn't match {ELEMENT_ORDER[:-1]} list:\n"
                f"{plain(order)}\n",
                unforeseen=True,
            ) from None


def _identity(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise PatchError(f"expected a map in a list merged by {merge_key}, got: {plain(item)}", unforeseen=True)
    if merge_key not in item:
        raise PatchError(f"map: {plain(item)} does not contain declared merge key: {merge_key}", unforeseen=True)
    return item[merge_key]


def _merge_list(present: list[Any], patch: list[Any], meta: FieldMeta, deletion: bool) -> list[Any]:
    if not present and not patch:
        return present
    elements = [*present, *patch]
    maps = [isinstance(item, dict) for item in elements]
    if any(maps) != all(maps) or any(isinstance(item, list) for item in elements):
        raise PatchError("list element types are not identical", unforeseen=True)
    if not maps[0]:
        if deletion:
            return [item for item in present if item not in patch]
        return _in_order(list(dict.fromkeys(elements)), patch, present, "")
    if not meta.merge_key:
        raise PatchError("cannot merge lists without merge key", unforeseen=True)
    live, changes = _special_elements(present, patch, meta.merge_key)
    order = list(live)
    merged = list(live)
    for change in changes:
        identity = _identity(change, meta.merge_key)
        for position, item in enumerate(merged):
            if isinstance(item, dict) and meta.merge_key in item and item[meta.merge_key] == identity:
                merged[position] = _merge_map(item, change, meta.schema)
                break
        else:
            merged.append(_without_directives(_without_nulls(change))[0])
    return _in_order(merged, changes, order, meta.merge_key)


def _special_elements(present: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the items that hold a $patch of their own; what is left of both lists."""
    live, changes, replace = list(present), [], False
    for item in patch:
        if DIRECTIVE not in item:
            changes.append(item)
            continue
        match item[DIRECTIVE]:
            case "delete":
                identity = _identity(item, merge_key)
                live = [each for each in live if each.get(merge_key) != identity]
            case "replace":
                replace = True
            case "merge":
                raise PatchError("merging lists cannot yet be specified in the patch", unforeseen=True)
            case other:
                raise PatchError(f"unknown patch type: {plain(other)} in map: {plain(item)}", unforeseen=True)
    # Taken as they are: there is nothing to be merged into, so two of one key are two.
    return (changes, []) if replace else (live, changes)


def _in_order(merged: list[Any], wanted: list[Any], live: list[Any], merge_key: str) -> list[Any]:
    """Items named in `wanted` in its order, the server's own slotted in where the live list had them."""
    wanted_ids = [_identity(item, merge_key) for item in wanted]
    live_ids = [_identity(item, merge_key) for item in live]
    ours = [item for item in merged if _identity(item, merge_key) in wanted_ids]
    ours.sort(key=lambda item: wanted_ids.index(_identity(item, merge_key)))
    theirs = [item for item in merged if _identity(item, merge_key) not in wanted_ids]
    result: list[Any] = []
    for item in ours:
        identity = _identity(item, merge_key)
        while theirs and identity in live_ids and _before(theirs[0], identity, live_ids, merge_key):
            result.append(theirs.pop(0))
        result.append(item)
    return result + theirs


def _before(item: Any, identity: Any, live_ids: list[Any], merge_key: str) -> bool:
    own = _identity(item, merge_key)
    return own in live_ids and live_ids.index(own) < live_ids.index(identity)
