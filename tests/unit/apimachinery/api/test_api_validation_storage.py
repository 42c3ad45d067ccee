"""Storage classes, attachments and what CSI drivers say: what they are refused for."""

import pytest

from apimachinery.api.validation import validate_create, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

CLASS = resource("storage.k8s.io/v1", "StorageClass")
ATTACHMENT = resource("storage.k8s.io/v1", "VolumeAttachment")
DRIVER = resource("storage.k8s.io/v1", "CSIDriver")
CSINODE = resource("storage.k8s.io/v1", "CSINode")
CAPACITY = resource("storage.k8s.io/v1", "CSIStorageCapacity")


@pytest.mark.parametrize(
    ("resource", "fields", "expected"),
    [
        (CLASS, {"provisioner": "a.b/c"}, []),
        (CLASS, {}, ["provisioner: Required value"]),
        (
            CLASS,
            {"provisioner": "a", "reclaimPolicy": "Recycle"},
            ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        ),
        (
            CLASS,
            {"provisioner": "a", "volumeBindingMode": "Late"},
            ['volumeBindingMode: Unsupported value: "Late": supported values: "Immediate", "WaitForFirstConsumer"'],
        ),
        (
            CLASS,
            {"provisioner": "a", "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone"}]}]},
            ["allowedTopologies[0].matchLabelExpressions[0].values: Required value"],
        ),
        (ATTACHMENT, {"spec": {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}}, []),
        (
            ATTACHMENT,
            {"spec": {"attacher": "a.b", "nodeName": "n", "source": {}}},
            ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
        (DRIVER, {"spec": {}}, []),
        (
            DRIVER,
            {"spec": {"fsGroupPolicy": "Always"}},
            [
                'spec.fsGroupPolicy: Unsupported value: "Always": supported values: "File", "None", '
                '"ReadWriteOnceWithFSType"'
            ],
        ),
        (
            DRIVER,
            {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 60}, {"audience": "a"}]}},
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 60: may not specify a duration less than 10 "
                "minutes",
                'spec.tokenRequests[1].audience: Duplicate value: "a"',
            ],
        ),
        (CSINODE, {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}}, []),
        (
            CSINODE,
            {"spec": {"drivers": [{"name": "d", "nodeID": "n"}, {"name": "d", "topologyKeys": [""]}]}},
            None,
        ),
        (CAPACITY, {"storageClassName": "c", "capacity": "1Gi"}, []),
        (
            CAPACITY,
            {"storageClassName": "c", "capacity": "-1"},
            ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        ),
    ],
    ids=str,
)
def test_new_storage_kinds(resource, fields, expected):
    found = texts(validate_create(resource, made(resource, **fields)))
    if expected is None:
        assert found[:3] == [
            "spec.drivers[1].nodeID: Required value",
            'spec.drivers[1].name: Duplicate value: "d"',
            "spec.drivers[1]: Required value",
        ]
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("resource", "before", "after", "expected"),
    [
        (
            CLASS,
            {"provisioner": "a"},
            {"provisioner": "b", "parameters": {"x": "y"}, "volumeBindingMode": "WaitForFirstConsumer"},
            [
                "parameters: Forbidden: updates to parameters are forbidden.",
                "provisioner: Forbidden: updates to provisioner are forbidden.",
                'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
            ],
        ),
        (CLASS, {"provisioner": "a"}, {"provisioner": "a", "allowVolumeExpansion": True}, []),
        (
            DRIVER,
            {"spec": {}},
            {"spec": {"attachRequired": False, "volumeLifecycleModes": ["Ephemeral"]}},
            [
                "spec.attachedRequired: Invalid value: false: field is immutable",
                'spec.volumeLifecycleModes: Invalid value: []storage.VolumeLifecycleMode{"Ephemeral"}: '
                "field is immutable",
            ],
        ),
        (
            CSINODE,
            {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}},
            {"spec": {"drivers": [{"name": "d", "nodeID": "m"}]}},
            [
                'CSINodeDriver: Invalid value: storage.CSINodeDriver{Name:"d", NodeID:"m", TopologyKeys:[]string(nil), '
                "Allocatable:(*storage.VolumeNodeResources)(nil)}: field is immutable"
            ],
        ),
        (
            CAPACITY,
            {"storageClassName": "c"},
            {"storageClassName": "d"},
            ['storageClassName: Invalid value: "d": field is immutable'],
        ),
    ],
    ids=str,
)
def test_changed_storage_kinds(resource, before, after, expected):
    assert texts(validate_update(resource, made(resource, **after), made(resource, **before))) == expected
