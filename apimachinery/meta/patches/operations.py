"""JSON Patch (RFC 6902) with JSON Pointer (RFC 6901), as kube-apiserver's library reads them (evanphx/json-patch, v4).

More is taken than the RFC has: positions from the end of a list (-1); a field that is not there is null (to test, to
copy, and to replace, which adds it), and so is the value of an operation without one. The whole document is only
replaced or tested.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from apimachinery.meta.objects import copied
from apimachinery.meta.patches.errors import PatchError
from apimachinery.meta.patches.merge import same_json

# The API server's own bound on the work of one request.
MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Bytes that the copies of one patch may add: each can double what is there (upstream's JSONPatchMaxCopyBytes)."""

_INDEX = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)  # as Go reads numbers


def json_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """A copy of `document` after all operations, or PatchError (and then nothing happened)."""
    if not isinstance(operations, list | tuple):
        raise PatchError("json: cannot unmarshal object into Go value of type jsonpatch.Patch", malformed=True)
    if len(operations) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise PatchError(text)
    root = {"": copied(document)}
    added = 0
    try:
        for operation in operations:
            if not isinstance(operation, Mapping):
                raise PatchError("a JSON patch operation must be an object", malformed=True)
            if operation.get("op") == "copy":
                added += len(orjson.dumps(_find(root, _pointer(operation, "from"), "copy")))
                if added > MAX_COPIED:
                    raise PatchError(
                        "Unable to complete the copy, the accumulated size increase of copy is "
                        f"{added}, exceeding the limit {MAX_COPIED}"
                    )
            _apply(root, operation)
        orjson.dumps(root)
    except (RecursionError, orjson.JSONEncodeError):
        raise PatchError("the patch nests too deep") from None
    return root[""]


def _apply(root: dict[str, Any], operation: Mapping[str, Any]) -> None:
    kind = operation.get("op")
    path = _pointer(operation, "path")
    match kind:
        case "add":
            _add(root, path, copied(_value(operation)), "add")
        case "replace":
            _find(root, path, "replace")
            if path and isinstance(holder := _get(root, path[:-1], "replace"), list):
                holder[_index(holder, path[-1], "replace", path)] = copied(_value(operation))
            else:
                _add(root, path, copied(_value(operation)), "replace")
        case "remove":
            _remove(root, path, "remove")
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and len(path) > len(source):
                raise PatchError(f"error in move for path: '{_text(path)}': a value cannot be moved into itself")
            _add(root, path, _remove(root, source, "move"), "move")
        case "copy":
            _add(root, path, copied(_find(root, _pointer(operation, "from"), "copy")), "copy")
        case "test":
            if not same_json(_find(root, path, "test"), _value(operation)):
                raise PatchError(f"testing value {_text(path)} failed: test failed")
        case _:
            raise PatchError(f"Unexpected kind: {kind}")


def _value(operation: Mapping[str, Any]) -> Any:
    return operation.get("value")


def _pointer(operation: Mapping[str, Any], member: str) -> list[str]:
    text = operation.get(member)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"operation {operation.get('op')!r} has no valid {member!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]] if text else []


def _get(root: dict[str, Any], path: list[str], action: str) -> Any:
    here: Any = root[""]
    for step in path:
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, list):
            here = here[_index(here, step, action, path)]
        else:
            raise _missing(action, path)
    return here


def _find(root: dict[str, Any], path: list[str], action: str) -> Any:
    """The same, but for a field that an object has not: it holds null."""
    if path and isinstance(holder := _get(root, path[:-1], action), dict):
        return holder.get(path[-1])
    return _get(root, path, action)


def _add(root: dict[str, Any], path: list[str], value: Any, action: str) -> None:
    if not path:
        if action != "replace":
            raise _missing(action, path)
        root[""] = value
        return
    holder, last = _get(root, path[:-1], action), path[-1]
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list):
        holder.insert(len(holder) if last == "-" else _index(holder, last, action, path, past_end=True), value)
    else:
        raise _missing(action, path)


def _remove(root: dict[str, Any], path: list[str], action: str) -> Any:
    if not path:
        raise PatchError(f"error in {action} for path: '': the whole document cannot be removed")
    holder, last = _get(root, path[:-1], action), path[-1]
    if isinstance(holder, dict):
        if last not in holder:
            raise PatchError(
                f"error in {action} for path: '{_text(path)}': unable to remove nonexistent key: {last}: missing value"
            )
        return holder.pop(last)
    if isinstance(holder, list):
        return holder.pop(_index(holder, last, action, path))
    raise _missing(action, path)


def _index(holder: list[Any], step: str, action: str, path: list[str], *, past_end: bool = False) -> int:
    """A position that the list has, counted from its end (that behind the last item with `past_end`) when negative."""
    if not _INDEX.fullmatch(step):
        raise PatchError(f"error in {action} for path: '{_text(path)}': value was not a proper array index: {step!r}")
    position, positions = int(step), len(holder) + past_end
    if not -positions <= position < positions:
        text = f"Unable to access invalid index: {position}: invalid index referenced"
        raise PatchError(f"error in {action} for path: '{_text(path)}': {text}")
    return position + positions if position < 0 else position


def _missing(action: str, path: list[str]) -> PatchError:
    return PatchError(f'{action} operation does not apply: doc is missing path: "{_text(path)}": missing value')


def _text(path: list[str]) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)
