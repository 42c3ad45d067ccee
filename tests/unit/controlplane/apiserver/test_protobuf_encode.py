"""What the server writes in protobuf: bytes that a kube-apiserver wrote, and every kind there and back."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.api import go_types
from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.schema import SCHEMA
from controlplane.apiserver.front import protobuf, protobuf_encode
from controlplane.apiserver.front import protobuf_messages as messages

UNKNOWN_TAIL = b'\x1a\x00"\x00'
TIMES = ("2026-11-21T23:27:18Z", "1969-12-31T23:59:59Z", "2000-02-29T00:00:00Z")


class Drawn:
    """Objects of a definition, by chance: every field is there or not, lists and maps are short."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def object(self, definition, depth=0):
        found = {}
        for name, schema in messages.schema_of(definition).get("properties", {}).items():
            if name not in ("apiVersion", "kind") and self._chance.random() < (0.7 if depth < 3 else 0.15):
                found[name] = self._value(schema, depth)
        return found

    def _text(self):
        return "".join(self._chance.choices(string.ascii_letters + "-./é漢🦊", k=self._chance.randint(1, 8)))

    def _value(self, schema, depth):
        chance = self._chance
        if "$ref" in schema:
            return self._referenced(schema["$ref"], depth)
        match schema.get("type"):
            case "array":
                return [self._value(schema["items"], depth + 1) for _ in range(chance.randint(1, 2))]
            case "object":
                # A number of keys that are not in the order of the alphabet.
                return {
                    self._text(): self._value(schema["additionalProperties"], depth + 1)
                    for _ in range(chance.randint(1, 3))
                }
            case "boolean":
                return chance.random() < 0.5
            case "integer":
                most = (1 << 31) - 1 if schema.get("format") == "int32" else (1 << 63) - 1
                return chance.choice([0, 1, -1, 127, 128, 1023, 1024, most, -most - 1])
            case "number":
                return chance.choice([0.0, -1.5, 1e300])
            case "string":
                return chance.choice(["AP8=", ""]) if schema.get("format") == "byte" else self._text()
        raise AssertionError(schema)

    def _referenced(self, reference, depth):
        chance = self._chance
        if reference == messages.QUANTITY:
            return chance.choice(["0", "500m", "1Gi"])
        if reference == messages.TIME:
            return chance.choice(TIMES)
        if reference == messages.MICRO_TIME:
            return chance.choice(["2026-11-21T23:27:18.000005Z", "1969-12-31T23:59:59.999999Z"])
        if reference == messages.INT_OR_STRING:
            return chance.choice([0, 80, -1, "http", "50%"])
        if reference in messages.RAW:
            return chance.choice([{}, {"f:spec": {".": {}}}, {"a": [1, "two", None]}])
        props = messages.SCHEMA_PROPS
        if reference == messages.OR_ARRAY:
            return chance.choice([self.object(props, depth + 2), [self.object(props, depth + 2)]])
        if reference == messages.OR_BOOL:
            return chance.choice([True, False, self.object(props, depth + 2)])
        if reference == messages.OR_STRINGS:
            return chance.choice([self.object(props, depth + 2), ["a", "b"]])
        return self.object(reference, depth + 1)


def shown(value, definition, name=None):
    """The object as Go's JSON shows it: with the zeros that it never leaves out, without those that it does."""
    properties = messages.schema_of(definition).get("properties", {})
    found = {}
    for field in (go_types.message(name or go_types.short(definition)) or {}).values():
        if field.embedded:
            package = go_types.short(definition).rpartition(".")[0]
            found |= shown(value, definition, f"{package}.{field.name}")
            continue
        schema = properties.get(field.name)
        if schema is None:
            continue
        given_ = value.get(field.name)
        if given_ is None:
            if field.pointer or schema.get("type") == "array" or "additionalProperties" in schema:
                continue
            given_ = zero(schema)
        if given_ is None or (given_ in ("", 0, False) and not field.pointer and not field.always):
            continue
        found[field.name] = each_shown(given_, schema)
    return found


def zero(schema):
    reference = schema.get("$ref")
    if reference in (messages.TIME, messages.MICRO_TIME) or reference in messages.RAW or schema.get("format") == "byte":
        return None
    if reference == messages.QUANTITY:
        return "0"
    if reference == messages.INT_OR_STRING:
        return 0
    return {} if reference else {"string": "", "boolean": False}.get(schema["type"], 0)


def each_shown(value, schema):
    reference = schema.get("$ref")
    if reference is not None:
        if reference in (messages.OR_ARRAY, messages.OR_BOOL, messages.OR_STRINGS):
            if isinstance(value, list) and reference == messages.OR_ARRAY:
                return [shown(item, messages.SCHEMA_PROPS) for item in value]
            return shown(value, messages.SCHEMA_PROPS) if isinstance(value, dict) else value
        known = go_types.message(go_types.short(reference)) is not None and reference not in messages.RAW
        return shown(value, reference) if known else value
    if schema.get("type") == "array":
        return [each_shown(item, schema["items"]) for item in value]
    if "additionalProperties" in schema:
        return {key: each_shown(item, schema["additionalProperties"]) for key, item in value.items()}
    return value


KINDS = sorted({(each.group, each.version, each.kind) for each in CATALOGUE})


@pytest.mark.parametrize("gvk", KINDS, ids="/".join)
def test_every_kind_comes_back_as_it_went(gvk):
    group, version, kind = gvk
    definition = SCHEMA.definition_name(gvk)
    head = {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}
    for seed in range(10):
        drawn = Drawn(seed).object(definition)
        found = protobuf.decode(protobuf_encode.encode({**head, **drawn}))
        assert found == {**head, **shown(drawn, definition)}


@given(st.integers(min_value=0))
def test_any_pod_comes_back_as_it_went(seed):
    definition = SCHEMA.definition_name(("", "v1", "Pod"))
    drawn = Drawn(seed).object(definition)
    head = {"apiVersion": "v1", "kind": "Pod"}
    assert protobuf.decode(protobuf_encode.encode({**head, **drawn})) == {**head, **shown(drawn, definition)}


def test_a_namespace_as_a_kube_apiserver_writes_it():
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "default",
            "uid": "d3ba0530-232f-47b5-9c9c-b2712ef4109b",
            "resourceVersion": "195",
            "creationTimestamp": "2026-11-21T23:27:18Z",
            "managedFields": [
                {
                    "manager": "kube-apiserver",
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": "2026-11-21T23:27:18Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:status": {"f:phase": {}}},
                }
            ],
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    # Read from a kube-apiserver 1.20; since then ObjectMeta lost clusterName, and managedFields got subresource.
    managed = (
        b'\n\x0ekube-apiserver\x12\x06Update\x1a\x02v1"\x08\x08\xd6\xd1\x88\xd8\x06\x10\x00'
        b'2\x08FieldsV1:\x1d\n\x1b{"f:status":{"f:phase":{}}}'
    )
    metadata = (
        b'\n\x07default\x12\x00\x1a\x00"\x00*$d3ba0530-232f-47b5-9c9c-b2712ef4109b2\x031958\x00'
        b"B\x08\x08\xd6\xd1\x88\xd8\x06\x10\x00\x8a\x01Q" + managed + b"B\x00"
    )
    written = protobuf_encode.encode(namespace)
    assert written == (
        b"k8s\x00\n\x0f\n\x02v1\x12\tNamespace\x12\xb5\x01\n\x9a\x01" + metadata + b"\x12\x0c\n\nkubernetes"
        b"\x1a\x08\n\x06Active" + UNKNOWN_TAIL
    )


def test_a_status_as_a_kube_apiserver_writes_it():
    refused = {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": 'namespaces "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "kind": "namespaces"},
        "code": 404,
    }
    assert protobuf_encode.encode(refused) == (
        b'k8s\x00\n\x0c\n\x02v1\x12\x06Status\x12U\n\x06\n\x00\x12\x00\x1a\x00\x12\x07Failure\x1a\x1bnamespaces "nope" '
        b'not found"\x08NotFound*\x18\n\x04nope\x12\x00\x1a\nnamespaces(\x002\x000\x94\x03' + UNKNOWN_TAIL
    )


def test_a_list_is_its_head_its_items_and_its_tail():
    objects = [{"metadata": {"name": f"c{number}"}, "data": {"k": "v" * number}} for number in range(200)]
    write = protobuf_encode.item("v1", "ConfigMap")
    items = [write(each) for each in objects]
    head, tail = protobuf_encode.list_head("v1", "ConfigMapList", {"resourceVersion": "7"}, sum(map(len, items)))
    found = protobuf.decode(head + b"".join(items) + tail)
    assert (found["kind"], found["metadata"]) == ("ConfigMapList", {"resourceVersion": "7"})
    assert [item["metadata"] for item in found["items"]] == [each["metadata"] for each in objects]
    whole = {"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": objects}
    assert head + b"".join(items) + tail == protobuf_encode.encode(whole)


def test_an_event_of_a_watch_has_its_length_before_it_and_the_object_in_its_envelope():
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    event = protobuf_encode.watch_event("ADDED", obj)
    assert int.from_bytes(event[:4]) == len(event) - 4
    assert event[4:11] == b"\n\x05ADDED"
    assert event.endswith(protobuf_encode.encode(obj))


def test_what_a_custom_resource_definition_made_has_no_form():
    assert not protobuf_encode.has_form("example.com/v1", "Widget")
    assert protobuf_encode.has_form("meta.k8s.io/v1", "PartialObjectMetadata")
    with pytest.raises(KeyError):
        protobuf_encode.encode({"apiVersion": "example.com/v1", "kind": "Widget"})
