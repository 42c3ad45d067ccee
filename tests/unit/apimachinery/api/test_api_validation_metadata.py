"""Metadata and names: what every kind is refused for."""

import pytest

from apimachinery.api import catalogue
from apimachinery.api.catalogue import CONFIGMAPS, SERVICES
from apimachinery.api.validation import validate_create, validate_name, validate_status_update, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, []),
        ({"name": None}, ["metadata.name: Required value: name or generateName is required"]),
        ({"namespace": ""}, ["metadata.namespace: Required value"]),
        ({"generateName": "web-"}, []),
        ({"generateName": "Web-"}, None),
        ({"labels": {"a": "b c"}}, None),
        ({"labels": {"/a": "b"}}, None),
        ({"annotations": {"A/B": "anything \n at all"}}, []),
        (
            {"annotations": {"a": "x" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
            ['metadata.ownerReferences.uid: Invalid value: "": uid must not be empty'],
        ),
        (
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": True} for name in "pq"
                ]
            },
            None,
        ),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, None),
    ],
    ids=lambda value: str(value)[:50],
)
def test_metadata_of_a_new_object(metadata, expected):
    found = texts(validate_create(CONFIGMAPS, made(CONFIGMAPS, metadata=metadata)))
    assert found == expected if expected is not None else found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({}, {"resourceVersion": ""}, ['metadata.resourceVersion: Invalid value: "": must be specified for an update']),
        ({"uid": "1"}, {"uid": "2"}, ['metadata.uid: Invalid value: "2": field is immutable']),
        ({"generation": 2}, {"generation": 1}, ["metadata.generation: Invalid value: 1: must not be decremented"]),
        (
            {"deletionTimestamp": "x"},
            {"deletionTimestamp": "x", "finalizers": ["a.io/b"]},
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found "
                'new finalizers []string{"a.io/b"}'
            ],
        ),
    ],
    ids=str,
)
def test_metadata_of_an_update(old, new, expected):
    found = validate_update(CONFIGMAPS, made(CONFIGMAPS, metadata=new), made(CONFIGMAPS, metadata=old))
    assert texts(found) == expected


@pytest.mark.parametrize(
    ("resource", "name", "good"),
    [
        (catalogue.NAMESPACES, "a.b", False),
        (catalogue.NODES, "a.b", True),
        (SERVICES, "1a", False),
        (catalogue.PODS, "1a.b", True),
        (catalogue.CLUSTERROLES, "system:node", True),
        (catalogue.CLUSTERROLES, "a/b", False),
        (catalogue.CLUSTERROLES, "..", False),
    ],
)
def test_names(resource, name, good):
    assert (validate_name(resource, name) == []) is good


def test_a_namespace_on_a_cluster_scoped_object():
    body = made(catalogue.NODES, metadata={"namespace": "x"})
    assert texts(validate_create(catalogue.NODES, body)) == ["metadata.namespace: Forbidden: not allowed on this type"]


@pytest.mark.parametrize("finalizer", ["example.com/hold", "kubernetes", "orphan", "foregroundDeletion"])
def test_finalizers_with_a_domain_and_those_of_kubernetes(finalizer):
    assert not validate_create(CONFIGMAPS, made(CONFIGMAPS, metadata={"finalizers": [finalizer]}))


def test_other_finalizers_without_a_domain():
    told = [
        'metadata.finalizers[1]: Invalid value: "hold": name is neither a standard finalizer name nor is it fully '
        "qualified"
    ]
    held = {"finalizers": ["a.b/c", "hold"]}
    new, old = made(CONFIGMAPS, metadata=held), made(CONFIGMAPS)
    assert texts(validate_create(CONFIGMAPS, new)) == told
    assert texts(validate_update(CONFIGMAPS, new, old)) == told
    nodes = [made(catalogue.NODES, metadata=metadata) for metadata in (held, None)]
    assert texts(validate_status_update(catalogue.NODES, *nodes)) == told
    # Upstream does not judge the metadata of a Lease by the core group's rules.
    assert not validate_create(catalogue.LEASES, made(catalogue.LEASES, metadata=held))
