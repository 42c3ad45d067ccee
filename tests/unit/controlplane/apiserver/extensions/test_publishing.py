"""What OpenAPI publishes of a defined kind, in version 2 and 3."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.extensions.publishing import definitions
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXT = {"type": "string"}


def published(schema: Object, *, swagger: bool = True) -> Object:
    resource = DefinedResource(
        group="stable.example.com",
        version="v1",
        kind="CronTab",
        plural="crontabs",
        singular="crontab",
        short_names=(),
        categories=(),
        namespaced=True,
        verbs=(),
        subresources=(),
        storage_group="stable.example.com",
        storage_version="v1",
        rules=None,
        definition={"name": "v1", "schema": {"openAPIV3Schema": schema}},
        listed_as="CronTabList",
        versions={},
    )
    return definitions(resource, swagger=swagger)["com.example.stable.v1.CronTab"]


def spec(schema: Object, *, swagger: bool = True) -> Object:
    found: Object = published({"type": "object", "properties": {"spec": schema}}, swagger=swagger)
    return found["properties"]["spec"]


def test_an_object_of_any_fields_lists_none_in_version_2() -> None:
    assert set(published(ANY)) == {"type", "x-kubernetes-group-version-kind"}
    assert set(published({**ANY, "properties": {"spec": TEXT}})) == {"type", "x-kubernetes-group-version-kind"}
    assert set(published(ANY, swagger=False)["properties"]) == {"apiVersion", "kind", "metadata"}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (ANY, {"x-kubernetes-preserve-unknown-fields": True}),
        ({"type": "object", "nullable": True, "properties": {"a": TEXT}}, {}),
        ({"type": "array", "nullable": True, "items": TEXT}, {}),
        ({"type": "array", "items": TEXT}, {"type": "array", "items": TEXT}),
        (
            {"type": "object", "oneOf": [{"required": ["a"]}], "properties": {"a": TEXT}},
            {"type": "object", "properties": {"a": TEXT}},
        ),
        (
            {"type": "object", "required": ["a", "b"], "properties": {"a": {**TEXT, "nullable": True}, "b": TEXT}},
            {"type": "object", "required": ["b"], "properties": {"a": {}, "b": TEXT}},
        ),
        ({"type": "string", "x-kubernetes-validations": [{"rule": "true"}]}, None),
    ],
)
def test_what_version_2_has_not(schema: Object, shown: Object | None) -> None:
    assert spec(schema) == (schema if shown is None else shown)
    assert spec(schema, swagger=False) == schema


def test_an_embedded_object_has_what_every_object_has() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "required": ["a"], "properties": {"a": TEXT}}
    for swagger in (True, False):
        found = spec({"type": "array", "items": embedded}, swagger=swagger)["items"]
        assert set(found["properties"]) == {"a", "apiVersion", "kind", "metadata"}
        assert found["required"] == ["a", "kind", "apiVersion"]
    assert "properties" not in spec({**ANY, "x-kubernetes-embedded-resource": True})
