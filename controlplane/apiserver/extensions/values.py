"""Values against a schema, in the words of kube-openapi's validation as the API server passes them on.

`spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"`. What an update leaves
as it was is not judged again (KEP-4008, ratcheting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from apimachinery.meta.paths import (
    Path,
    Problem,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library.regex import matches
from controlplane.apiserver.cel.operators import go_float
from controlplane.apiserver.extensions.formats import FORMATS
from controlplane.apiserver.extensions.go_values import go_value

Schema = Mapping[str, Any]
ABSENT = object()


def check(schema: Schema, value: Any, path: str, old: Any = ABSENT) -> list[Problem]:
    """What is wrong with a value. path: as messages spell it, "" for the object itself; old: what an update found
    there, ABSENT when there is nothing to compare with."""
    if old is not ABSENT and value == old:
        return []
    if value is None:
        if schema.get("nullable") or (not schema.get("type") and not schema.get("x-kubernetes-int-or-string")):
            return []
        return [_type_problem(schema, path, value)]
    if not _has_type(schema, value):
        return [_type_problem(schema, path, value)]
    found = list(_own(schema, value, path))
    if isinstance(value, dict):
        found += _object(schema, value, path, old)
    elif isinstance(value, list):
        found += _list(schema, value, path, old)
    found += _junctors(schema, value, path)
    return found


def _where(path: str) -> Path:
    return Path(path) if path else Path()


def _has_type(schema: Schema, value: Any) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return type(value) in (int, str)
    match schema.get("type"):
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return type(value) is int or (type(value) is float and value.is_integer())
        case "number":
            return type(value) in (int, float)
    return True


def _type_problem(schema: Schema, path: str, value: Any) -> Problem:
    have = _type_of(value)
    wanted = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema.get("type")
    return type_invalid(_where(path), have, f'{_named(path)} in body must be of type {wanted}: "{have}"')


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _named(path: str) -> str:
    # The validator calls the object itself "".
    return path


def _own(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    where, name = _where(path), _named(path)
    if "enum" in schema and value not in [each for each in schema["enum"] if type(each) is type(value)]:
        shown = [each if isinstance(each, str) else orjson.dumps(each).decode() for each in schema["enum"]]
        yield not_supported(where, go_value(value), shown)
    if isinstance(value, str):
        length = len(value)
        limit, least = schema.get("maxLength"), schema.get("minLength")
        if limit is not None and length > limit:
            yield too_long(where, limit)
        if least is not None and length < least:
            yield invalid(where, value, f"{name} in body should be at least {least} chars long")
        if pattern := schema.get("pattern"):
            yield from _pattern(pattern, value, path)
        form = schema.get("format")
        if form in FORMATS and not FORMATS[form](value):
            yield type_invalid(where, value, f'{name} in body must be of type {form}: "{value}"')
    elif type(value) in (int, float):
        yield from _number(schema, value, path)


def _pattern(pattern: str, value: str, path: str) -> Iterator[Problem]:
    try:
        if matches(value, pattern):
            return
    except CelError:
        pass  # refused when the definition was written; an old one may still hold it
    yield invalid(_where(path), value, f"{_named(path)} in body should match '{pattern}'")


def _number(schema: Schema, value: float, path: str) -> Iterator[Problem]:
    where, name = _where(path), _named(path)
    limit, least, step = schema.get("maximum"), schema.get("minimum"), schema.get("multipleOf")
    if limit is not None and (value >= limit if schema.get("exclusiveMaximum") else value > limit):
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(where, value, f"{name} in body should be {words} {_plain(limit)}")
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(where, value, f"{name} in body should be {words} {_plain(least)}")
    if step and not (value / step).is_integer():
        yield invalid(where, value, f"{name} in body should be a multiple of {_plain(step)}")
    bounds = {"int32": 2**31, "int64": 2**63}.get(schema.get("format") or "")
    if bounds and schema.get("type") == "integer" and not -bounds <= value < bounds:
        word = schema["format"]
        yield invalid(where, value, f"Checked value must be of type integer with format {word}")


def _plain(number: float) -> str:
    return go_float(number) if isinstance(number, float) else str(number)


def _object(schema: Schema, value: dict[str, Any], path: str, old: Any) -> Iterator[Problem]:
    where, name = _where(path), _named(path)
    limit, least = schema.get("maxProperties"), schema.get("minProperties")
    if limit is not None and len(value) > limit:
        yield too_many(where, len(value), limit)
    if least is not None and len(value) < least:
        yield invalid(where, go_value(value), f"{name} in body should have at least {least} properties")
    for field in schema.get("required") or ():
        if field not in value:
            yield required(where.child(field), "")
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    before = old if isinstance(old, dict) else None
    for field in value:
        below = properties.get(field, more)
        if isinstance(below, dict):
            had = ABSENT if before is None else before.get(field, ABSENT)
            yield from check(below, value[field], f"{path}.{field}" if path else field, had)


def _list(schema: Schema, value: list[Any], path: str, old: Any) -> Iterator[Problem]:
    where, name = _where(path), _named(path)
    limit, least, items = schema.get("maxItems"), schema.get("minItems"), schema.get("items")
    if limit is not None and len(value) > limit:
        yield too_many(where, len(value), limit)
    if least is not None and len(value) < least:
        yield invalid(where, go_value(value), f"{name} in body should have at least {least} items")
    if schema.get("uniqueItems") and len({orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in value}) < len(
        value
    ):
        yield invalid(where, go_value(value), f"{name} in body shouldn't contain duplicates")
    yield from _twice(schema, value, where)
    if isinstance(items, dict):
        same = correlation(schema, old)
        for position, item in enumerate(value):
            yield from check(items, item, f"{path}[{position}]", same(item))


def _twice(schema: Schema, value: list[Any], where: Path) -> Iterator[Problem]:
    """Items of a set, or keys of a map, that come again."""
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return
    seen: set[bytes] = set()
    for position, item in enumerate(value):
        key = item if kind == "set" else item_key(schema, item)
        if key is None:
            continue
        spelled = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
        if spelled in seen:
            yield duplicate(where.index(position), go_value(key))
        seen.add(spelled)


def item_key(schema: Schema, item: Any) -> dict[str, Any] | None:
    """The keys of an item of a `map` list, defaults filled in; None for what is no item."""
    if not isinstance(item, dict):
        return None
    fields = (schema.get("items") or {}).get("properties") or {}
    found = {
        key: item.get(key, (fields.get(key) or {}).get("default"))
        for key in schema.get("x-kubernetes-list-map-keys") or ()
    }
    return {key: each for key, each in found.items() if each is not None}


def correlation(schema: Schema, old: Any) -> Callable[[Any], Any]:
    """Finds the item of the old list that is the same one as an item of the new: only `map` lists say which. ABSENT for
    none. Costs one walk of the old list."""
    known: dict[bytes, Any] = {}
    if isinstance(old, list) and schema.get("x-kubernetes-list-type") == "map":
        for each in old:
            key = item_key(schema, each)
            if key is not None:
                known.setdefault(orjson.dumps(key, option=orjson.OPT_SORT_KEYS), each)

    def find(item: Any) -> Any:
        key = item_key(schema, item) if known else None
        return ABSENT if key is None else known.get(orjson.dumps(key, option=orjson.OPT_SORT_KEYS), ABSENT)

    return find


def _junctors(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    name = _named(path)

    def sentence(text: str) -> Problem:
        return invalid(Path(), "", f'"{name}" must {text}')

    if each_of := schema.get("allOf"):
        failing = [problem for each in each_of for problem in check(each, value, path)]
        yield from failing
        if failing:
            yield sentence("validate all the schemas (allOf)")
    if any_of := schema.get("anyOf"):
        results = [check(each, value, path) for each in any_of]
        if all(results):
            yield sentence("validate at least one schema (anyOf)")
            yield from min(results, key=len)
    if one_of := schema.get("oneOf"):
        results = [check(each, value, path) for each in one_of]
        valid = sum(not each for each in results)
        if valid != 1:
            found = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            yield sentence(f"validate one and only one schema (oneOf). {found}")
            if not valid:
                yield from min(results, key=len)
    if "not" in schema and not check(schema["not"], value, path):
        yield sentence("not validate the schema (not)")
