"""The lab's disks as volumes, and in libvirt's words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apimachinery.api.catalogue import CSIDRIVERS, PERSISTENTVOLUMES, STORAGECLASSES
from apimachinery.api.defaults import apply
from apimachinery.api.validation import validate_create
from controlplane.cloud import disk_plan as plan
from controlplane.cloud.kubelab.disk_xml import disks_of, free_target, render_disk, render_volume

Object = dict[str, Any]
GI = 1 << 30


def claim(size: str = "1Gi", **more: Any) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **more}
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "u-1"}, "spec": spec}


def storage_class(**more: Any) -> Object:
    return {"metadata": {"name": "disk"}, "provisioner": "disk.kubelab.io", **more}


@pytest.mark.parametrize(
    ("asked", "size", "shown"),
    [
        ("1Gi", GI, "1Gi"),
        ("1G", 954 << 20, "954Mi"),
        ("1", 1 << 20, "1Mi"),
        ("1048577", 2 << 20, "2Mi"),
        ("1024Mi", GI, "1024Mi"),
    ],
)
def test_sizes(asked: str, size: int, shown: str) -> None:
    assert plan.asked_size(claim(asked)) == size
    assert plan.shown_size(size, asked) == shown


@pytest.mark.parametrize(
    ("asked", "of_class", "why"),
    [
        pytest.param(claim(), storage_class(), "", id="all is well"),
        pytest.param(claim(accessModes=["ReadWriteOncePod"]), storage_class(), "", id="one pod alone"),
        pytest.param(claim(accessModes=["ReadWriteMany"]), storage_class(), "only ReadWriteOnce", id="many writers"),
        pytest.param(claim(accessModes=["ReadOnlyMany"]), storage_class(), "only ReadWriteOnce", id="many readers"),
        pytest.param(claim(selector={}), storage_class(), "Selector is not supported", id="a selector"),
        pytest.param(claim(dataSource={"kind": "VolumeSnapshot"}), storage_class(), "data sources", id="a snapshot"),
        pytest.param(claim(), storage_class(parameters={"type": "gp3"}), "invalid parameter 'type'", id="a parameter"),
    ],
)
def test_what_no_disk_can_give(asked: Object, of_class: Object, why: str) -> None:
    said = ""
    try:
        plan.check(asked, of_class)
    except plan.Refusal as error:
        said = str(error)
    assert why in said and bool(said) is bool(why)


def test_the_volume() -> None:
    of_class = storage_class(reclaimPolicy="Retain", parameters={plan.FS_TYPE: "ext3"}, mountOptions=["noatime"])
    made = plan.render_volume(claim(), of_class, GI)
    assert made["spec"]["csi"] == {
        "driver": "disk.kubelab.io", "volumeHandle": plan.disk_id("pvc-u-1"), "fsType": "ext3",
    }  # fmt: skip
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["spec"]["mountOptions"] == ["noatime"]
    apply(PERSISTENTVOLUMES, made)
    assert validate_create(PERSISTENTVOLUMES, made) == []
    assert "fsType" not in plan.render_volume(claim(volumeMode="Block"), storage_class(), GI)["spec"]["csi"]


def test_ids_fit_into_a_serial_number() -> None:
    assert re.fullmatch(r"vol-[0-9a-f]{16}", plan.disk_id("pvc-u-1"))
    assert plan.disk_id("pvc-u-1") != plan.disk_id("pvc-u-2")


def test_what_the_cluster_is_told_is_valid() -> None:
    for resource, made in ((CSIDRIVERS, plan.render_driver()), (STORAGECLASSES, plan.render_class())):
        apply(resource, made)
        assert validate_create(resource, made) == []


@pytest.mark.parametrize(
    ("csi_node", "expected"),
    [
        (None, 'csinode.storage.k8s.io "n" not found'),
        ({"spec": {"drivers": [{"name": "x", "nodeID": "1"}]}}, "CSINode n does not contain driver disk.kubelab.io"),
        ({"spec": {"drivers": [{"name": "disk.kubelab.io", "nodeID": "m"}]}}, "m"),
    ],
)
def test_how_the_driver_calls_a_node(csi_node: Object | None, expected: str) -> None:
    try:
        said = plan.node_id(csi_node, "n")
    except plan.Refusal as error:
        said = str(error)
    assert said == expected


DOMAIN = """<domain><devices>
  <disk type='file' device='disk'><target dev='vda' bus='virtio'/></disk>
  <disk type='file' device='disk'><target dev='vdb' bus='virtio'/><serial>0123456789abcdef0123</serial></disk>
  {}
</devices></domain>"""


def test_a_domain_says_which_disks_it_has() -> None:
    """The root disk, the seed and the code, which has a serial number too, are none of them."""
    assert disks_of(DOMAIN.format("")) == {}
    disk = render_disk("vol-0123456789abcdef", "/labs/a&b/vol.qcow2", "vdc")
    held = disks_of(DOMAIN.format(disk))
    assert held.keys() == {"vol-0123456789abcdef"}
    assert "/labs/a&amp;b/vol.qcow2" in held["vol-0123456789abcdef"]


def test_names_of_devices() -> None:
    assert free_target(DOMAIN.format("")) == "vdc"
    taken = "".join(f'<target dev="vd{letter}" bus="virtio"/>' for letter in "abcdefghijklmnopqrstuvwxyz")
    assert free_target(taken) == "vdaa"


def test_a_disk_takes_no_room_at_first() -> None:
    made = render_volume("vol-0123456789abcdef", GI)
    assert '<allocation unit="bytes">0</allocation><capacity unit="bytes">1073741824</capacity>' in made
