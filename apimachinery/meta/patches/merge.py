"""JSON Merge Patch (RFC 7386)."""

from typing import Any

from apimachinery.meta.objects import copied


def merge_patch(document: Any, patch: Any) -> Any:
    """`document` with `patch` merged in: null deletes, objects merge, everything else replaces (RFC 7386 section 2).

    Objects in new lists lose their nulls too, as with upstream's library; not those of a list that takes an object's
    place."""
    if not isinstance(patch, dict):
        return copied(patch) if isinstance(document, dict) else _without_nulls(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _without_nulls(value: Any) -> Any:
    """A copy whose objects say no nulls; lists keep theirs."""
    if isinstance(value, dict):
        return {key: _without_nulls(below) for key, below in value.items() if below is not None}
    return [_without_nulls(below) for below in value] if isinstance(value, list) else value


def diff_merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes `new` of `old`; empty when they are equal.

    A null inside `new` cannot be said in a merge patch (it means deletion), so nulls in `new` count as absent.
    """
    patch: dict[str, Any] = {}
    for key, before in old.items():
        after = new.get(key)
        if after is None:
            if before is not None:
                patch[key] = None
        elif isinstance(before, dict) and isinstance(after, dict):
            if inner := diff_merge(before, after):
                patch[key] = inner
        elif not same_json(before, after):
            patch[key] = copied(after)
    for key, after in new.items():
        if key not in old and after is not None:
            patch[key] = copied(after)
    return patch


def same_json(left: Any, right: Any) -> bool:
    """Equality of JSON values: numbers by value, booleans apart from numbers, objects without order."""
    # Python holds True == 1 and 1 == 1.0; JSON holds the first for different.
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(value, right[key]) for key, value in left.items())
    return bool(left == right)
