"""Disks of a node: which device one is, when it counts as attached, and who still uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.kit.commands import Completed
from apimachinery.meta.attachments import disk_of
from nodeagent.kubelet.node.csi_node import new_csi_node, with_driver, without_driver
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.volumes.attaching import AttachmentReader, NotAttached, check_node
from nodeagent.kubelet.volumes.claims import Resolved
from nodeagent.kubelet.volumes.devices import filesystem_size, find_device, grow_mounted, is_disk
from nodeagent.kubelet.volumes.disks import Disks
from nodeagent.kubelet.volumes.filesystems import MountProblem
from nodeagent.kubelet.volumes.setup_problem import SetupProblem

Object = dict[str, Any]
DISK = "vol-0123456789abcdef"
UNIQUE = f"kubernetes.io/csi/disk.kubelab.io^{DISK}"
POD: Object = {"metadata": {"name": "p", "namespace": "ns", "uid": "u1"}, "spec": {}}


def volume(disk: str = DISK, driver: str = "disk.kubelab.io") -> Object:
    return {"metadata": {"name": "pv"}, "spec": {"csi": {"driver": driver, "volumeHandle": disk}}}


@pytest.mark.parametrize(
    ("file", "said", "expected"),
    [
        ("serial", DISK, True),
        ("serial", "vol-0123456789abcdee", False),
        ("serial", "", False),
        ("loop/backing_file", f"/labs/l/volumes/{DISK}.img", True),
        ("loop/backing_file", f"/labs/l/volumes/{DISK}", True),
        ("loop/backing_file", f"/labs/l/volumes/x{DISK}.img", False),
        ("loop/backing_file", f"/labs/{DISK}/other.img", False),
        ("loop/backing_file", f"/labs/l/volumes/{DISK}.img (deleted)", False),
    ],
)
def test_a_device_says_which_disk_it_is(tmp_path: Path, file: str, said: str, expected: bool) -> None:
    place = tmp_path / "vdd" / file
    place.parent.mkdir(parents=True)
    place.write_text(f"{said}\n")
    assert is_disk("vdd", DISK, tmp_path) is expected
    assert is_disk("vde", DISK, tmp_path) is False


def test_an_old_hint_is_not_believed(tmp_path: Path) -> None:
    """Another disk has got the device's name since: nothing is ever mounted, let alone formatted, by its name alone."""
    (tmp_path / "loop0" / "loop").mkdir(parents=True)
    (tmp_path / "loop0" / "loop" / "backing_file").write_text("/labs/l/volumes/vol-ffffffffffffffff.img\n")
    with pytest.raises(MountProblem, match=f"device of disk {DISK} not found: /dev/loop0 is not it"):
        find_device(DISK, "/dev/loop0", tmp_path, tmp_path)
    with pytest.raises(MountProblem, match="no device has its serial number"):
        find_device(DISK, "", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "Volume has not been added to the list of VolumesInUse in the node's volume status"),
        ({"volumesInUse": ["x"]}, "Volume has not been added to the list of VolumesInUse in the node's volume status"),
        ({"volumesInUse": [UNIQUE]}, "volume not attached according to node status"),
        (
            {"volumesInUse": [UNIQUE], "volumesAttached": [{"name": "x"}]},
            "volume not attached according to node status",
        ),
        ({"volumesInUse": [UNIQUE], "volumesAttached": [{"name": UNIQUE, "devicePath": "csi-1"}]}, ""),
    ],
)
def test_what_the_node_must_say_first(status: Object, expected: str) -> None:
    said = ""
    try:
        check_node({"status": status}, UNIQUE)
    except NotAttached as error:
        said = str(error)
    assert said == expected


def test_which_volumes_are_disks() -> None:
    assert disk_of(volume()) == DISK
    assert disk_of(volume(driver="other.example.com")) == ""
    assert disk_of({"metadata": {"name": "pv"}, "spec": {"local": {"path": "/x"}}}) == ""


class Reader:
    """The API's answer about an attachment."""

    def __init__(self) -> None:
        self.answer: str | None = None

    async def device_path(self, volume: Object) -> str:
        if self.answer is None:
            raise NotAttached("not yet")
        return self.answer


async def _no_command(*argv: str, **_: Any) -> Completed:
    raise AssertionError(f"{argv} was run")


class Node:
    """The disks of a node that has no device."""

    def __init__(self, root: Path) -> None:
        self.paths, self.reader, self.told = Paths(root), Reader(), 0
        self.disks = self.restarted()

    def restarted(self) -> Disks:
        found = Disks(self.paths, cast(AttachmentReader, self.reader), _no_command)
        found.changed = self._changed
        return found

    def _changed(self) -> None:
        self.told += 1


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def other_pod() -> Object:
    return {**POD, "metadata": {**POD["metadata"], "uid": "u2"}}


async def test_a_disk_is_in_use_before_it_is_attached(node: Node) -> None:
    with pytest.raises(NotAttached):
        await node.disks.mount(POD, Resolved("c", volume(), False), None)
    assert (node.disks.in_use(), node.told) == ([UNIQUE], 1)
    with pytest.raises(NotAttached):
        await node.disks.mount(POD, Resolved("c", volume(), False), None)
    assert node.told == 1  # nothing new
    assert node.restarted().in_use() == [UNIQUE]


async def test_a_disk_is_given_up_with_its_last_pod(node: Node) -> None:
    for pod in (POD, other_pod()):
        with pytest.raises(NotAttached):
            await node.disks.mount(pod, Resolved("c", volume(), False), None)
    await node.disks.release("u1")
    assert node.disks.in_use() == [UNIQUE]
    await node.disks.release("u2")
    assert (node.disks.in_use(), node.told) == ([], 2)


async def test_after_a_restart_what_pods_have_is_used_and_the_rest_is_not(node: Node) -> None:
    with pytest.raises(NotAttached):
        await node.disks.mount(POD, Resolved("c", volume(), False), None)
    kept = node.paths.volume("u1", "csi", "pv")
    kept.mkdir(parents=True)
    disks = node.restarted()
    await disks.release()
    assert disks.in_use() == [UNIQUE]
    kept.rmdir()
    await disks.release()
    assert disks.in_use() == []


async def test_a_disk_that_is_not_where_it_should_be(node: Node) -> None:
    node.reader.answer = "/dev/null"
    with pytest.raises(SetupProblem) as told:
        await node.disks.mount(POD, Resolved("c", volume(), False), None)
    why = f"device of disk {DISK} not found: /dev/null is not it"
    assert str(told.value) == f'MountVolume.MountDevice failed for volume "pv" : {why}'


def test_what_dumpe2fs_says() -> None:
    told = "Filesystem volume name:   <none>\nBlock count:              32768\nBlock size:               1024\n"
    assert filesystem_size(told) == 32 << 20
    assert filesystem_size("dumpe2fs: Bad magic number in super-block") == 0


async def test_growing_says_what_the_command_said() -> None:
    async def refused(*argv: str, **_: Any) -> Completed:
        return Completed(argv, 1, b"", b"resize2fs: Permission denied to resize filesystem\n")

    with pytest.raises(
        MountProblem, match=r"resize of device /dev/x failed: exit status 1\. resize2fs output: resize2fs: P"
    ):
        await grow_mounted(refused, Path("/dev/x"), Path("/mnt"), "ext4")
    with pytest.raises(MountProblem, match="resize of format vfat is not supported for device /dev/x mounted at /mnt"):
        await grow_mounted(refused, Path("/dev/x"), Path("/mnt"), "vfat")


def test_the_node_says_that_it_has_the_driver() -> None:
    empty = new_csi_node({"metadata": {"name": "n", "uid": "u"}})
    assert empty["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]
    ours = with_driver(empty)
    assert ours["spec"]["drivers"] == [{"name": "disk.kubelab.io", "nodeID": "n", "allocatable": {"count": 20}}]
    foreign = {**empty, "spec": {"drivers": [{"name": "x", "nodeID": "1"}]}}
    assert [each["name"] for each in with_driver(foreign)["spec"]["drivers"]] == ["x", "disk.kubelab.io"]
    assert with_driver(json.loads(json.dumps(ours))) == ours


def test_a_machine_without_a_cloud_lists_no_driver_of_ours() -> None:
    empty = new_csi_node({"metadata": {"name": "n", "uid": "u"}})
    assert without_driver(empty) is empty and empty["spec"]["drivers"] == []
    foreign = {**empty, "spec": {"drivers": [{"name": "x", "nodeID": "n"}]}}
    assert without_driver(foreign) is foreign and without_driver(with_driver(foreign)) == foreign
