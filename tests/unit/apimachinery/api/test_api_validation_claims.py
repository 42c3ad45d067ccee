"""Claims and their status: what they are refused for."""

import pytest

from apimachinery.api import catalogue
from apimachinery.api.validation import validate_create, validate_status_update, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts

PVC = catalogue.PERSISTENTVOLUMECLAIMS
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_CLAIM, []),
        ({**_CLAIM, "accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        ({"accessModes": ["ReadWriteOnce"]}, ["spec.resources[storage]: Required value"]),
        (
            {**_CLAIM, "resources": {"requests": {"storage": "-1"}}},
            ['spec.resources[storage]: Invalid value: "-1": must be greater than zero'],
        ),
        (
            {**_CLAIM, "dataSource": {"kind": "Pod", "name": "x"}},
            [
                "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default "
                "apiGroup"
            ],
        ),
        (
            {
                **_CLAIM,
                "dataSource": {"kind": "PersistentVolumeClaim", "name": "x"},
                "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "y"},
            },
            ["spec: Invalid value: spec.dataSource: must match dataSourceRef"],
        ),
    ],
    ids=str,
)
def test_a_new_claim(spec, expected):
    assert texts(validate_create(PVC, made(PVC, spec=spec))) == expected


_FIXED = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims\n"
)


def _fixed(where, before, after):
    return f'{_FIXED}- \t{where}: "{before}"\n+ \t{where}: "{after}"'


@pytest.mark.parametrize(
    ("phase", "before", "after", "expected"),
    [
        ("Pending", {}, {"volumeName": "v"}, []),
        ("Bound", {"volumeName": "v"}, {"volumeName": "w"}, [_fixed("volumeName", "v", "w")]),
        ("Bound", {}, {"resources": {"requests": {"storage": "2Gi"}}}, []),
        (
            "Pending",
            {},
            {"resources": {"requests": {"storage": "2Gi"}}},
            [_fixed("resources.requests.storage", "1Gi", "2Gi")],
        ),
        (
            "Bound",
            {},
            {"resources": {"requests": {"storage": "512Mi"}}},
            ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
        ),
        ("Pending", {}, {"storageClassName": "fast"}, []),
        (
            "Pending",
            {"storageClassName": "slow"},
            {"storageClassName": "fast"},
            [_fixed("storageClassName", "slow", "fast")],
        ),
        (
            "Pending",
            {},
            {"volumeMode": "Block"},
            [_fixed("volumeMode", "Filesystem", "Block"), 'volumeMode: Invalid value: "Block": field is immutable'],
        ),
    ],
    ids=str,
)
def test_a_changed_claim(phase, before, after, expected):
    status = {"phase": phase, "capacity": {"storage": "1Gi"}}
    old = made(PVC, spec={**_CLAIM, **before}, status=status)
    new = made(PVC, spec={**_CLAIM, **before, **after}, status=status)
    assert texts(validate_update(PVC, new, old)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allocatedResources": {"storage": "2Gi", "example.com/x": "1"}, "capacity": {"storage": "1Gi"}}, []),
        ({"allocatedResourceStatuses": {"storage": "NodeResizePending"}}, []),
        (
            {"allocatedResources": {"cpu": "1"}},
            ['status.allocatedResources: Unsupported value: "cpu": supported values: "storage"'],
        ),
        (
            {"allocatedResources": {"storage": "-1"}},
            ["status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity"],
        ),
        (
            {"allocatedResourceStatuses": {"cpu": "Later"}},
            [
                'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "storage"',
                'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: '
                '"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", '
                '"NodeResizeInfeasible", "NodeResizePending"',
            ],
        ),
        (
            {"capacity": {"storage": "-1"}},
            ["status.capacity[storage]: Invalid value: -1: must be a valid resource quantity"],
        ),
    ],
    ids=str,
)
def test_the_status_of_a_claim(status, expected):
    old = made(PVC, spec=_CLAIM)
    assert texts(validate_status_update(PVC, {**old, "status": status}, old)) == expected
