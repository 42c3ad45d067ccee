# ruff: noqa: E501
# A table of sentences reads better whole.
"""Storage classes, attachments and what CSI drivers say: what they are refused for."""

import pytest

from apimachinery.api.validation import validate_create, validate_status_update, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

CLASS = resource("storage.k8s.io/v1", "StorageClass")
ATTACHMENT = resource("storage.k8s.io/v1", "VolumeAttachment")
DRIVER = resource("storage.k8s.io/v1", "CSIDriver")
CSINODE = resource("storage.k8s.io/v1", "CSINode")
CAPACITY = resource("storage.k8s.io/v1", "CSIStorageCapacity")
_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


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


_ATTACHED = {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (
            CLASS,
            {"provisioner": "A/B/C"},
            [
                'provisioner: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '
                "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  "
                "or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional "
                "DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ],
        ),
        (
            CLASS,
            {"provisioner": "a", "parameters": {str(number): "" for number in range(513)}},
            ["parameters: Too long: may not be more than 512 bytes"],
        ),
        (
            CLASS,
            {"provisioner": "a", "parameters": {"": "x"}},
            ['parameters: Invalid value: "": field can not be empty.'],
        ),
        (
            CLASS,
            {"provisioner": "a", "parameters": {"a": "x" * 256 * 1024}},
            ["parameters: Too long: may not be more than 262144 bytes"],
        ),
        (
            CLASS,
            {"provisioner": "a", "allowedTopologies": [{}]},
            ['allowedTopologies[0].matchLabelExpressions: Duplicate value: ""'],
        ),
        (
            CLASS,
            {
                "provisioner": "a",
                "allowedTopologies": [{"matchLabelExpressions": [{"key": "z", "values": ["b", "b"]}] * 2}] * 2,
            },
            [
                'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "b"',
                'allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: "b"',
                'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "z"',
                'allowedTopologies[1].matchLabelExpressions[0].values[1]: Duplicate value: "b"',
                'allowedTopologies[1].matchLabelExpressions[1].values[1]: Duplicate value: "b"',
                'allowedTopologies[1].matchLabelExpressions[1].key: Duplicate value: "z"',
                'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""',
            ],
        ),
        (
            ATTACHMENT,
            {"spec": {**_ATTACHED, "source": {"persistentVolumeName": "v", "inlineVolumeSpec": {}}}},
            ["spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
        (
            ATTACHMENT,
            {"spec": {**_ATTACHED, "attacher": "", "source": {"persistentVolumeName": ""}}},
            [
                "spec.attacher: Required value",
                "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
                "spec.attacher: Required value",
                f'spec.attacher: Invalid value: "": {_SUBDOMAIN}',
                f'spec.source.persistentVolumeName: Invalid value: "": {_SUBDOMAIN}',
            ],
        ),
        (
            ATTACHMENT,
            {"spec": {**_ATTACHED, "nodeName": "N"}},
            [f'spec.nodeName: Invalid value: "N": {_SUBDOMAIN}'],
        ),
        (
            DRIVER,
            {"spec": {"volumeLifecycleModes": ["Always"]}},
            ['spec.volumeLifecycleModes: Unsupported value: "Always": supported values: "Persistent", "Ephemeral"'],
        ),
        (
            DRIVER,
            {"spec": {"tokenRequests": [{"audience": "", "expirationSeconds": (1 << 32) + 1}]}},
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger "
                "than 2^32 seconds"
            ],
        ),
        (
            CSINODE,
            {"spec": {"drivers": [{"name": "d" * 64, "nodeID": "n" * 257, "allocatable": {"count": -1}}]}},
            [
                "spec.drivers[0].name: Too long: may not be more than 63 bytes",
                f'spec.drivers[0].nodeID: Invalid value: "{"n" * 257}": must be 256 characters or less',
                "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            CSINODE,
            {"spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": ["a", "a"]}]}},
            ['spec.drivers[0]: Duplicate value: "a"'],
        ),
        (CAPACITY, {"storageClassName": "c", "maximumVolumeSize": "-1"}, []),
        (
            CAPACITY,
            {"nodeTopology": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            [
                'nodeTopology.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
                f'storageClassName: Invalid value: "": {_SUBDOMAIN}',
            ],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_details_of_new_storage_kinds(kind, fields, expected):
    assert texts(validate_create(kind, made(kind, **fields))) == expected


def test_what_must_be_said_of_a_driver():
    undefaulted = {**made(DRIVER), "spec": {}}
    assert texts(validate_create(DRIVER, undefaulted)) == [
        f"spec.{field}: Required value"
        for field in ("attachedRequired", "podInfoOnMount", "storageCapacity", "seLinuxMount")
    ]


def test_changed_drivers_are_told_of_in_the_old_order():
    old = made(CSINODE, spec={"drivers": [{"name": name, "nodeID": "n"} for name in "ab"]})
    new = made(CSINODE, spec={"drivers": [{"name": name, "nodeID": "m"} for name in "ba"]})
    assert [text.partition("NodeID")[0] for text in texts(validate_update(CSINODE, new, old))] == [
        f'CSINodeDriver: Invalid value: storage.CSINodeDriver{{Name:"{name}", ' for name in "ab"
    ]


def test_where_a_capacity_is_stays():
    old = made(CAPACITY, storageClassName="c", nodeTopology={"matchLabels": {"zone": "a"}})
    new = made(CAPACITY, storageClassName="c", nodeTopology={"matchLabels": {"zone": "b"}})
    assert texts(validate_update(CAPACITY, new, old)) == [
        'nodeTopology: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"zone":"b"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    ]
    assert texts(validate_update(CAPACITY, made(CAPACITY, storageClassName="c"), old)) == [
        'nodeTopology: Invalid value: "null": field is immutable'
    ]


def test_what_an_attacher_reports():
    old = made(ATTACHMENT, spec=_ATTACHED)
    said = {"attached": False, "attachError": {"message": "x" * 1024}, "detachError": {"message": "x" * 1025}}
    assert texts(validate_status_update(ATTACHMENT, {**old, "status": said}, old)) == [
        "status.detachError.message: Too long: may not be more than 262144 bytes"
    ]
    large = {"attached": True, "attachmentMetadata": {"a": "x" * 256 * 1024}}
    assert texts(validate_status_update(ATTACHMENT, {**old, "status": large}, old)) == [
        "status.attachmentMetadata: Too long: may not be more than 262144 bytes"
    ]


def test_what_stays_is_shown_as_go_prints_it():
    old = made(ATTACHMENT, spec={"attacher": "a", "source": {"persistentVolumeName": "p"}, "nodeName": "n"})
    new = made(ATTACHMENT, spec={"attacher": "a", "source": {"persistentVolumeName": "p"}, "nodeName": "m"})
    assert texts(validate_update(ATTACHMENT, new, old)) == [
        'spec: Invalid value: storage.VolumeAttachmentSpec{Attacher:"a", Source:storage.VolumeAttachmentSource{'
        "PersistentVolumeName:(*string)(0xc000000000), InlineVolumeSpec:(*core.PersistentVolumeSpec)(nil)}, "
        'NodeName:"m"}: field is immutable'
    ]
    old, new = (
        made(CSINODE, spec={"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": count}}]})
        for count in (1, 2)
    )
    assert texts(validate_update(CSINODE, new, old)) == [
        'CSINodeDriver: Invalid value: storage.CSINodeDriver{Name:"d", NodeID:"n", TopologyKeys:[]string(nil), '
        "Allocatable:(*storage.VolumeNodeResources)(0xc000000000)}: field is immutable"
    ]
