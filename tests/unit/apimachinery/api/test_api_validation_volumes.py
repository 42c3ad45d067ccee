"""Persistent volumes: what they are refused for."""

import pytest

from apimachinery.api import catalogue
from apimachinery.api.validation import validate_create, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts

PV = catalogue.PERSISTENTVOLUMES
_VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}


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
    assert texts(validate_create(PV, made(PV, spec=spec))) == expected


def test_a_volumes_source_stays_and_its_mode():
    old = made(PV, spec=_VOLUME)
    moved = made(PV, spec={**_VOLUME, "hostPath": {"path": "/other"}, "volumeMode": "Block"})
    assert texts(validate_update(PV, moved, old)) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
        '- \thostPath.path: "/data"\n+ \thostPath.path: "/other"',
        'volumeMode: Invalid value: "Block": field is immutable',
    ]
    grown = made(PV, spec={**_VOLUME, "capacity": {"storage": "2Gi"}, "storageClassName": "slow"})
    assert validate_update(PV, grown, old) == []


_BETA, _GA = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"


def _on(*requirements):
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in requirements]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return made(PV, spec={**_VOLUME, "nodeAffinity": {"required": terms}})


_KEPT = "field is immutable, except for updating from beta label to GA"


@pytest.mark.parametrize(
    ("new", "old", "kept"),
    [
        (_on(("a", "b")), made(PV, spec=_VOLUME), True),
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
    assert texts(validate_update(PV, new, old)) == ([] if kept else [f"nodeAffinity: Invalid value: {shown}: {_KEPT}"])


def test_a_volume_does_not_lose_its_nodes():
    found = texts(validate_update(PV, made(PV, spec=_VOLUME), _on(("a", "b"))))
    assert found == [f'nodeAffinity: Invalid value: "null": {_KEPT}']
