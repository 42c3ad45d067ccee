"""Semantic validation of volumes, claims, quotas, limits and the storage kinds: every problem with its exact text."""

from copy import deepcopy

import pytest

from apimachinery.api import catalogue, defaults
from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.validation import validate_create, validate_status_update, validate_update


def _resource(api_version, kind):
    found = CATALOGUE.by_kind(api_version, kind)
    assert found is not None
    return found


def _object(resource, /, _name="a", **fields):
    metadata = {"name": _name, "resourceVersion": "1"}
    if resource.namespaced:
        metadata["namespace"] = "default"
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **deepcopy(fields)}
    defaults.apply(resource, body)
    return body


def _texts(problems):
    return [str(problem) for problem in problems]


PV = catalogue.PERSISTENTVOLUMES
PVC = catalogue.PERSISTENTVOLUMECLAIMS
QUOTA = _resource("v1", "ResourceQuota")
LIMITS = _resource("v1", "LimitRange")
CLASS = _resource("storage.k8s.io/v1", "StorageClass")
ATTACHMENT = _resource("storage.k8s.io/v1", "VolumeAttachment")
DRIVER = _resource("storage.k8s.io/v1", "CSIDriver")
CSINODE = _resource("storage.k8s.io/v1", "CSINode")
CAPACITY = _resource("storage.k8s.io/v1", "CSIStorageCapacity")

_VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def _without(spec, *fields):
    return {field: value for field, value in spec.items() if field not in fields}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_VOLUME, []),
        (_without(_VOLUME, "hostPath"), ["spec: Required value: must specify a volume type"]),
        (_without(_VOLUME, "accessModes"), ["spec.accessModes: Required value"]),
        (
            {**_VOLUME, "capacity": {}},
            [
                "spec.capacity: Required value",
                'spec.capacity: Unsupported value: core.ResourceList{}: supported values: "storage"',
            ],
        ),
        (
            {**_VOLUME, "capacity": {"cpu": "1"}},
            [
                'spec.capacity: Unsupported value: core.ResourceList{"cpu":resource.Quantity{i:resource.int64Amount{'
                'value:1, scale:0}, d:resource.infDecAmount{Dec:(*inf.Dec)(nil)}, s:"1", Format:"DecimalSI"}}: '
                'supported values: "storage"'
            ],
        ),
        (
            {**_VOLUME, "flexVolume": {"driver": ""}},
            ["spec.flexVolume.driver: Required value"],
        ),
        (
            {**_VOLUME, "capacity": {"storage": "0"}},
            ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
        ),
        (
            {**_VOLUME, "accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]},
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            {**_VOLUME, "accessModes": ["RWO"]},
            [
                'spec.accessModes: Unsupported value: "RWO": supported values: "ReadOnlyMany", "ReadWriteMany", '
                '"ReadWriteOnce", "ReadWriteOncePod"'
            ],
        ),
        (
            {**_VOLUME, "nfs": {"server": "a", "path": "b"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {**_without(_VOLUME, "hostPath"), "nfs": {"server": "a", "path": "b"}},
            ['spec.nfs.path: Invalid value: "b": must be an absolute path'],
        ),
        (
            {**_without(_VOLUME, "hostPath"), "local": {"path": "/mnt"}},
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            {**_VOLUME, "hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
            ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
        ),
        (
            {**_VOLUME, "persistentVolumeReclaimPolicy": "Keep"},
            [
                'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", '
                '"Retain"'
            ],
        ),
        (
            {**_VOLUME, "volumeMode": "Raw"},
            ['spec.volumeMode: Unsupported value: "Raw": supported values: "Block", "Filesystem"'],
        ),
        (
            {**_without(_VOLUME, "hostPath"), "csi": {"driver": "a.b", "volumeHandle": ""}},
            ["spec.csi.volumeHandle: Required value"],
        ),
        (
            {**_without(_VOLUME, "hostPath"), "gcePersistentDisk": {"pdName": "d", "partition": 300}},
            ["spec.persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive"],
        ),
        (
            {**_without(_VOLUME, "hostPath"), "iscsi": {"targetPortal": "p", "iqn": "bad", "lun": 256}},
            [
                'spec.iscsi.iqn: Invalid value: "bad": must be valid format',
                "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            ],
        ),
        (
            {**_VOLUME, "nodeAffinity": {}},
            ["spec.nodeAffinity.required: Required value: must specify required node constraints"],
        ),
    ],
    ids=str,
)
def test_a_new_volume(spec, expected):
    assert _texts(validate_create(PV, _object(PV, spec=spec))) == expected


def test_a_volumes_source_stays_and_its_mode():
    old = _object(PV, spec=_VOLUME)
    moved = _object(PV, spec={**_VOLUME, "hostPath": {"path": "/other"}, "volumeMode": "Block"})
    assert _texts(validate_update(PV, moved, old)) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
        '- \thostPath.path: "/data"\n+ \thostPath.path: "/other"',
        'volumeMode: Invalid value: "Block": field is immutable',
    ]
    grown = _object(PV, spec={**_VOLUME, "capacity": {"storage": "2Gi"}, "storageClassName": "slow"})
    assert validate_update(PV, grown, old) == []


def _on(*requirements):
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in requirements]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return _object(PV, spec={**_VOLUME, "nodeAffinity": {"required": terms}})


_KEPT = "field is immutable, except for updating from beta label to GA"
_BETA, _GA = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("new", "old", "kept"),
    [
        (_on(("a", "b")), _object(PV, spec=_VOLUME), True),
        (_on(("a", "b")), _on(("a", "b")), True),
        (_on((_GA, "z"), ("a", "b")), _on((_BETA, "z"), ("a", "b")), True),
        (_on((_GA, "y")), _on((_BETA, "z")), False),
        (_on((_BETA, "z")), _on((_GA, "z")), False),
        (_on((_GA, "z"), ("a", "b")), _on((_BETA, "z")), False),
        (_on((_GA, "z")), _on((_BETA, "z"), ("a", "b")), False),
    ],
)
def test_where_a_volume_is_stays(new, old, kept):
    shown = "core.VolumeNodeAffinity{Required:(*core.NodeSelector)(0xc000000000)}"
    assert _texts(validate_update(PV, new, old)) == ([] if kept else [f"nodeAffinity: Invalid value: {shown}: {_KEPT}"])


def test_a_volume_does_not_lose_its_nodes():
    found = _texts(validate_update(PV, _object(PV, spec=_VOLUME), _on(("a", "b"))))
    assert found == [f'nodeAffinity: Invalid value: "null": {_KEPT}']


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_CLAIM, []),
        ({**_CLAIM, "accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        (_without(_CLAIM, "resources"), ["spec.resources[storage]: Required value"]),
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
    assert _texts(validate_create(PVC, _object(PVC, spec=spec))) == expected


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
    old = _object(PVC, spec={**_CLAIM, **before}, status=status)
    new = _object(PVC, spec={**_CLAIM, **before, **after}, status=status)
    assert _texts(validate_update(PVC, new, old)) == expected


def _quantity(number, scale, text, form):
    return (
        f"resource.Quantity{{i:resource.int64Amount{{value:{number}, scale:{scale}}}, "
        f'd:resource.infDecAmount{{Dec:(*inf.Dec)(nil)}}, s:"{text}", Format:"{form}"}}'
    )


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}}], []),
        ([{"type": "Node"}], ['type: Invalid value: "Node": must be a standard limit type or fully qualified']),
        ([{"type": "Pod"}, {"type": "Pod"}], None),
        (
            [{"type": "Pod", "default": {"cpu": "1"}}],
            ["default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            [{"type": "PersistentVolumeClaim"}],
            ["limits: Required value: either minimum or maximum storage value is required, but neither was provided"],
        ),
        (
            [{"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}],
            [f"min[cpu]: Invalid value: {_quantity(2, 0, '2', 'DecimalSI')}: min value 2 is greater than max value 1"],
        ),
        (
            [{"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}],
            [
                f"maxLimitRequestRatio[cpu]: Invalid value: {_quantity(500, -3, '500m', 'DecimalSI')}: "
                "ratio 500m is less than 1"
            ],
        ),
        (
            [
                {
                    "type": "Pod",
                    "max": {"memory": "2Gi"},
                    "min": {"memory": "1Gi"},
                    "maxLimitRequestRatio": {"memory": 3},
                }
            ],
            [
                f"maxLimitRequestRatio[memory]: Invalid value: {_quantity(3, 0, '3', 'DecimalSI')}: "
                "ratio 3 is greater than max/min = 2.000000"
            ],
        ),
        (
            [{"type": "Container", "max": {"pods": "1"}}],
            # The maximum is also the default limit, and that the default request.
            [
                f'{field}[pods]: Invalid value: "pods": must be a standard resource for containers'
                for field in ("max", "default", "defaultRequest")
            ],
        ),
    ],
    ids=str,
)
def test_a_limit_range(limits, expected):
    found = _texts(validate_create(LIMITS, _object(LIMITS, spec={"limits": limits})))
    if expected is None:
        assert found == ['spec.limits[1].type: Duplicate value: "Pod"']
    else:
        assert found == [f"spec.limits[0].{text}" for text in expected]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hard": {"pods": "4", "requests.cpu": "1", "count/jobs.batch": "2", "requests.hugepages-2Mi": "4Mi"}}, []),
        (
            {"hard": {"pods": "1500m"}},
            [f"spec.hard[pods]: Invalid value: {_quantity(1500, -3, '1500m', 'DecimalSI')}: must be an integer"],
        ),
        ({"hard": {"pods": "-1"}}, ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0']),
        (
            {"hard": {"storage": "1Gi"}},
            ['spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota'],
        ),
        (
            {"hard": {"bogus": "1"}},
            [
                'spec.hard[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified',
                'spec.hard[bogus]: Invalid value: "bogus": must be a standard resource for quota',
            ],
        ),
        (
            {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]},
            [
                'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort"}: '
                "unsupported scope applied to resource"
            ],
        ),
        (
            {"scopes": ["Terminating", "NotTerminating"]},
            [
                'spec.scopes: Invalid value: []core.ResourceQuotaScope{"Terminating", "NotTerminating"}: '
                "conflicting scopes"
            ],
        ),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
            [
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when "
                "`operator` is 'In' or 'NotIn' for scope selector"
            ],
        ),
    ],
    ids=str,
)
def test_a_quota(spec, expected):
    assert _texts(validate_create(QUOTA, _object(QUOTA, spec=spec))) == expected


def test_a_quotas_scopes_stay_and_its_status_holds_amounts():
    old, new = _object(QUOTA, spec={}), _object(QUOTA, spec={"scopes": ["BestEffort"]})
    assert _texts(validate_update(QUOTA, new, old)) == [
        'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort"}: field is immutable'
    ]
    used = _object(QUOTA, spec={}, status={"used": {"pods": "-1"}})
    assert _texts(validate_status_update(QUOTA, used, old)) == [
        'status.used[pods]: Invalid value: "-1": must be greater than or equal to 0'
    ]


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
    found = _texts(validate_create(resource, _object(resource, **fields)))
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
    assert _texts(validate_update(resource, _object(resource, **after), _object(resource, **before))) == expected


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
    old = _object(PVC, spec=_CLAIM)
    assert _texts(validate_status_update(PVC, {**old, "status": status}, old)) == expected
