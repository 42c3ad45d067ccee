"""Definitions from bodies that are not quite right: refused or served, never anything else."""

# ruff: noqa: E501 (tables are read by the line)

from collections.abc import Iterator
from typing import Any

import pytest

from apimachinery.api.catalogue import CUSTOMRESOURCEDEFINITIONS
from apimachinery.meta import status
from apimachinery.meta.objects import copied
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.extensions.definition import build, served_versions
from controlplane.apiserver.extensions.definition_strategy import DefinitionStrategy
from controlplane.apiserver.extensions.names import plan_status
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["a"],
            "x-kubernetes-validations": [{"rule": "self.a != ''", "message": "m"}],
            "properties": {
                "a": {"type": "string", "pattern": "^x", "default": "x", "enum": ["x", "xy"]},
                "l": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}},
                },
                "m": {"type": "object", "additionalProperties": {"type": "integer", "maximum": 3}},
                "p": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "n": {"type": "integer", "allOf": [{"minimum": 1}], "not": {"maximum": 0}},
            },
        }
    },
}
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"},
                },
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                "selectableFields": [{"jsonPath": ".spec.a"}],
            }
        ],
    },
}
VALUES: list[Any] = [
    None, [], {}, "", "x", 1, -1, 1.5, True, False, "a" * 300, 2**63, ["x"], {"a": 1}, [None], [{}], "[", ".spec", "array", "object",
    [{"rule": "self == oldSelf"}], [{"rule": "self."}], {"type": "array"}, {"type": "object", "additionalProperties": {}}, {"items": "x"},
]  # fmt: skip


async def _allowed(_: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


def _call() -> Call:
    return Call(User("ann"), CUSTOMRESOURCEDEFINITIONS, "create", "", "", _allowed)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, below in pairs:
        yield from _paths(below, (*path, key))


def _stored(definition: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What would be stored, and what is against it. Raises ApiError."""
    call = _call()
    obj = read(call, copied(definition), *CUSTOMRESOURCEDEFINITIONS.gvk)
    strategy = DefinitionStrategy(CUSTOMRESOURCEDEFINITIONS)
    strategy.prepare_create(call, obj)
    problems = [str(problem) for problem in strategy.validate_create(call, obj)]
    strategy.warn(call, obj, None)
    return obj, problems


def test_the_good_one() -> None:
    obj, problems = _stored(DEFINITION)
    assert problems == []
    assert obj["spec"]["names"]["listKind"] == "ThingList" and obj["status"]["storedVersions"] == ["v1"]


@pytest.mark.parametrize("path", list(_paths(DEFINITION["spec"], ("spec",))), ids=lambda path: ".".join(map(str, path)))
def test_every_place_with_every_value(path: tuple[Any, ...]) -> None:
    for value in VALUES:
        definition = copied(DEFINITION)
        node: Any = definition
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = copied([value])[0]
        try:
            obj, problems = _stored(definition)
        except status.ApiError as error:
            assert error.code in (400, 422), error
            continue
        if problems:
            continue
        state = plan_status(obj, [], "2024-01-01T00:00:00Z")
        served = build({**obj, "status": state}, None)  # nothing is converted here
        assert served is not None and served.served == served_versions(obj["spec"])
        for resource in served.resources.values():
            assert resource.rules.selects_as_stored  # one version, as it was made
            call = Call(User("ann"), resource, "create", "ns", "", _allowed)
            body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "o"}}
            for spec in ({"a": "x", "l": [{"k": "1"}], "m": {"q": 1}, "p": 1, "n": 2}, None, {"l": [None], "m": None}):
                made = resource.rules.read(call, {**copied(body), "spec": copied(spec)}, "")
                resource.rules.convert(made)


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["v1", "v2", "v1beta1", "v10", "v1alpha2", "foo", "v2beta1"], ["v10", "v2", "v1", "v2beta1", "v1beta1", "v1alpha2", "foo"]),
        (["b", "a"], ["a", "b"]),
    ],
)  # fmt: skip
def test_the_order_of_versions(names: list[str], ordered: list[str]) -> None:
    assert list(served_versions({"versions": [{"name": name, "served": True} for name in names]})) == ordered
