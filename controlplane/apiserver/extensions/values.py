"""Values against a schema, in the words of kube-openapi's validation as the API server passes them on.

`spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"`. What an update leaves
as it was is not judged again (KEP-4008, ratcheting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from apimachinery.meta.paths import Path, Problem, invalid, required, too_many, type_invalid
from controlplane.apiserver.extensions.formats import FORMATS
from controlplane.apiserver.extensions.scalars import enum_problems, number_problems, text_problems

Schema = Mapping[str, Any]
ABSENT = object()


def check(schema: Schema, value: Any, path: str, old: Any = ABSENT) -> list[Problem]:
    """What is wrong with a value. path: as messages spell it, "" for the object itself; old: what an update found
    there, ABSENT when there is nothing to compare with."""
    if old is not ABSENT and value == old:
        return []
    return _judge(schema, value, path, old)


def _judge(schema: Schema, value: Any, path: str, old: Any) -> list[Problem]:
    """As `check`, also of a value that is what it was: so upstream judges the alternatives of a schema. A wrong type
    hides nothing of the rest."""
    where = Path(path) if path else Path()
    found = [] if _has_type(schema, value) else [_type_problem(schema, where, path, value)]
    if value is not None:
        found += _junctors(schema, value, path, old)
        if isinstance(value, str):
            found += text_problems(schema, value, where, path)
        elif type(value) in (int, float):
            found += number_problems(schema, value, where, path)
        elif isinstance(value, list):
            found += _list(schema, value, path, old)
    found += enum_problems(schema, value, where)
    if isinstance(value, dict):
        found += _object(schema, value, path, old)
    return list({(each.path, each.message): each for each in found}.values()) if len(found) > 1 else found


def _has_type(schema: Schema, value: Any) -> bool:
    either, kind = schema.get("x-kubernetes-int-or-string"), schema.get("type")
    if value is None:
        return bool(schema.get("nullable")) or not (kind or either)
    if either:
        return type(value) in (int, str) or (type(value) is float and value.is_integer())
    match kind:
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


def _type_problem(schema: Schema, where: Path, name: str, value: Any) -> Problem:
    have = _type_of(value)
    wanted = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema.get("type")
    form = schema.get("format")
    if form in FORMATS and value is not None and not isinstance(value, list):
        # Where a format is asked for, upstream tells of formats: a number has one, other values have none.
        wanted, have = form, {"integer": "int64", "number": "float64"}.get(have, "")
    return type_invalid(where, have, f'{name} in body must be of type {wanted}: "{have}"')


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _object(schema: Schema, value: dict[str, Any], path: str, old: Any) -> Iterator[Problem]:
    where = Path(path) if path else Path()
    limit, least = schema.get("maxProperties"), schema.get("minProperties")
    if least is not None and len(value) < least:
        yield invalid(where, len(value), f"{path} in body should have at least {least} properties")
    if limit is not None and len(value) > limit:
        yield too_many(where, len(value), limit)
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    before = old if isinstance(old, dict) else None
    for field in value:
        below = properties.get(field, more)
        if isinstance(below, dict):
            had = ABSENT if before is None else before.get(field, ABSENT)
            yield from check(below, value[field], f"{path}.{field}" if path else field, had)
    for field in schema.get("required") or ():
        if field not in value:
            yield required(where.child(field), "")


def _list(schema: Schema, value: list[Any], path: str, old: Any) -> Iterator[Problem]:
    where = Path(path) if path else Path()
    limit, least, items = schema.get("maxItems"), schema.get("minItems"), schema.get("items")
    if isinstance(items, dict):
        same = correlation(schema, old)
        for position, item in enumerate(value):
            yield from check(items, item, f"{path}[{position}]", same(item))
    if least is not None and len(value) < least:
        yield invalid(where, len(value), f"{path} in body should have at least {least} items")
    if limit is not None and len(value) > limit:
        yield too_many(where, len(value), limit)


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


def _junctors(schema: Schema, value: Any, path: str, old: Any) -> Iterator[Problem]:
    def sentence(text: str) -> Problem:
        return invalid(Path(), "", f'"{path}" must {text}')

    def judged(key: str) -> list[list[Problem]]:
        return [_judge(each, value, path, old) for each in schema.get(key) or ()]

    if (results := judged("anyOf")) and all(results):
        yield sentence("validate at least one schema (anyOf)")
        yield from _nearest(schema["anyOf"], results, value)
    if results := judged("oneOf"):
        valid = sum(not each for each in results)
        if valid != 1:
            found = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            yield sentence(f"validate one and only one schema (oneOf). {found}")
            if not valid:
                yield from _nearest(schema["oneOf"], results, value)
    results = judged("allOf")
    for each in results:
        yield from each
    if any(results):
        yield sentence("validate all the schemas (allOf)" + (". None validated" if all(results) else ""))
    if isinstance(schema.get("not"), dict) and not _judge(schema["not"], value, path, old):
        yield sentence("not validate the schema (not)")


def _nearest(schemas: list[Schema], results: list[list[Problem]], value: Any) -> list[Problem]:
    """What is wrong by the alternative that has most to say about the value, the first of several."""
    known = [_weight(schema, value) for schema in schemas]
    return results[known.index(max(known))]


def _weight(schema: Schema, value: Any) -> int:
    """How many parts of a value a schema looks at; one of another type counts less."""
    count = 1 if not schema.get("type") else 3 if _has_type(schema, value) else 2
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, inner in value.items():
            below = properties.get(name, more)
            count += 3 + _weight(below, inner) if isinstance(below, dict) else 0
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        count += sum(3 + _weight(schema["items"], item) for item in value)
    for key in ("allOf", "anyOf", "oneOf"):
        count += sum(_weight(each, value) for each in schema.get(key) or ())
    return count
