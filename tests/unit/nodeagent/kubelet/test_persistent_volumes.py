"""What stands behind claims, set up for the pods of a node: real folders, real mounts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import commands
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.volumes import filesystems, mounts
from nodeagent.kubelet.volumes.attaching import AttachmentReader
from nodeagent.kubelet.volumes.claims import ClaimReader, ProcessProblem, Resolved
from nodeagent.kubelet.volumes.disks import Disks
from nodeagent.kubelet.volumes.filesystems import MountProblem
from nodeagent.kubelet.volumes.persistent import PersistentMounter, Placed
from nodeagent.kubelet.volumes.setup_problem import SetupProblem
from tests.unit.nodeagent.kubelet.sink import Sink

Object = dict[str, Any]

VOLUME = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}


class Node:
    """A node with pods that have folders."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths = root, Paths(root / "kubelet")
        self.sink = Sink()
        self.mounter = self.restarted()

    def restarted(self) -> PersistentMounter:
        disks = Disks(self.paths, AttachmentReader(None, "n"), commands.run)
        return PersistentMounter(self.paths, ClaimReader(None, "n"), disks, commands.run, Recorder(self.sink, "n"))

    def pod(self, uid: str, **context: Any) -> Object:
        self.paths.pod(uid).mkdir(parents=True)
        return {"metadata": {"name": uid, "namespace": "ns", "uid": uid}, "spec": {"securityContext": context}}

    def local(self, **spec: Any) -> Resolved:
        """A claim with a folder of the node behind it."""
        folder = self.root / "local"
        folder.mkdir(exist_ok=True)
        return Resolved("c", {"metadata": {"name": "pv"}, "spec": {"local": {"path": str(folder)}, **spec}}, False)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    yield Node(tmp_path)
    for point in mounts.mounts_below(tmp_path):
        mounts.unmount(point)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_volume_for_one_pod_is_not_given_to_a_second(node: Node, restarted: bool) -> None:
    first, second, alone = node.pod("a"), node.pod("b"), node.local(accessModes=["ReadWriteOncePod"])
    await node.mounter.ensure(first, VOLUME, alone, None)
    mounter = node.restarted() if restarted else node.mounter
    await mounter.ensure(first, VOLUME, alone, None)
    with pytest.raises(SetupProblem) as refused:
        await mounter.ensure(second, VOLUME, alone, None)
    assert str(refused.value) == (
        'MountVolume.SetUp failed for volume "pv" : '
        "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
    )
    for point in mounts.mounts_below(node.paths.pod("a")):
        mounts.unmount(point)
    assert (await mounter.ensure(second, VOLUME, alone, None)).own


async def test_two_pods_that_come_for_it_at_once(node: Node) -> None:
    alone = node.local(accessModes=["ReadWriteOncePod"])
    asked = [node.mounter.ensure(node.pod(uid, fsGroup=1000), VOLUME, alone, 1000) for uid in ("a", "b")]
    placed, refused = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(placed, Placed) and isinstance(refused, SetupProblem)


async def test_a_volume_with_more_modes_is_shared(node: Node) -> None:
    for uid in ("a", "b"):
        await node.mounter.ensure(node.pod(uid), VOLUME, node.local(accessModes=["ReadWriteOnce"]), None)


async def test_the_group_of_a_shared_folder_is_its_first_pods(node: Node) -> None:
    shared = node.local()
    for uid, gid in (("a", 1000), ("b", 1000), ("c", 2000)):
        await node.mounter.ensure(node.pod(uid, fsGroup=gid), VOLUME, shared, gid)
        found = (node.root / "local").stat()
        assert (found.st_gid, found.st_mode & 0o7777) == (1000, 0o2775)
    text = "The requested fsGroup is 2000, but the volume pv has GID 1000. The volume may not be shareable."
    assert node.sink.said == [f"Warning AlreadyMountedVolume {text}"]
    for point in mounts.mounts_below(node.paths.pods):
        mounts.unmount(point)
    await node.mounter.ensure(node.pod("d", fsGroup=2000), VOLUME, shared, 2000)
    assert (node.root / "local").stat().st_gid == 2000


@pytest.mark.parametrize(("told", "group"), [("1234", 1234), ("+7", 7), ("12 ", None), ("staff", None), ("", None)])
async def test_a_volume_may_be_a_groups(node: Node, told: str, group: int | None) -> None:
    pod, resolved = node.pod("a"), node.local()
    resolved.volume["metadata"]["annotations"] = {"pv.beta.kubernetes.io/gid": told}
    assert (await node.mounter.ensure(pod, VOLUME, resolved, None)).group == group
    kept = node.restarted().standing(pod, "data")
    assert kept is not None and kept.group == group


async def test_what_is_told_of_a_raw_device(node: Node) -> None:
    pod, folder = node.pod("a"), node.local(volumeMode="Block")
    with pytest.raises(SetupProblem) as refused:
        await node.mounter.ensure(pod, VOLUME, folder, None)
    assert refused.value.reason == "FailedMapVolume"
    folder.volume["spec"]["local"]["path"] = "/nothing/disk"
    with pytest.raises(SetupProblem) as missing:
        await node.mounter.ensure(pod, VOLUME, folder, None)
    text = 'MapVolume.EvalHostSymlinks failed for volume "pv" : lstat /nothing: no such file or directory'
    assert (missing.value.reason, str(missing.value)) == ("FailedMapVolume", text)
    assert SetupProblem("MapVolume.NodeAffinity check", "pv", "").reason == "FailedMount"


async def test_a_local_volume_is_a_folder_or_a_device(node: Node) -> None:
    (node.root / "file").write_text("")
    resolved = node.local()
    resolved.volume["spec"]["local"]["path"] = str(node.root / "file")
    with pytest.raises(SetupProblem) as refused:
        await node.mounter.ensure(node.pod("a"), VOLUME, resolved, None)
    assert str(refused.value) == (
        'MountVolume.NewMounter initialization failed for volume "pv" : only directory and block device are supported'
    )


async def test_a_path_of_the_node_takes_no_mount_options(node: Node) -> None:
    behind = {"metadata": {"name": "pv"}, "spec": {"hostPath": {"path": "/"}, "mountOptions": ["ro"]}}
    with pytest.raises(SetupProblem) as refused:
        await node.mounter.ensure(node.pod("a"), VOLUME, Resolved("c", behind, False), None)
    assert str(refused.value) == (
        'MountVolume.MountOptionSupport check failed for volume "pv" : '
        "Mount options are not supported for this volume type"
    )


class Api:
    """Claims and volumes by name."""

    def __init__(self, **objects: Object) -> None:
        self.objects = objects

    async def get(self, _kind: object, name: str, _namespace: str = "") -> Object:
        return self.objects[name]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"metadata": {"deletionTimestamp": "x"}}, "error processing PVC ns/web-data: PVC is being deleted"),
        ({"status": {}}, "error processing PVC ns/web-data: PVC is not bound"),
        ({"spec": {}}, "error processing PVC ns/web-data: PVC has empty pvc.Spec.VolumeName"),
        ({}, "PVC ns/web-data was not created for pod ns/web (pod is not owner)"),
        (
            {"metadata": {"ownerReferences": [{"controller": True, "uid": "u"}]}},
            "error processing PVC ns/web-data: found PV object pv but its pv.Spec.ClaimRef.UID other does not point to "
            "claim.UID uid",
        ),
    ],
)
async def test_claims_that_give_no_volume(changed: Object, told: str) -> None:
    metadata = {"name": "web-data", "namespace": "ns", "uid": "uid", **changed.get("metadata", {})}
    made = {"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}, **changed, "metadata": metadata}
    api: Any = Api(**{"web-data": made, "pv": {"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "other"}}}})
    pod = {"metadata": {"name": "web", "namespace": "ns", "uid": "u"}, "spec": {}}
    with pytest.raises(ProcessProblem) as refused:
        await ClaimReader(api, "n").resolve(pod, {"name": "data", "ephemeral": {}}, "web-data", ephemeral=True)
    assert str(refused.value) == told


async def test_a_folder_of_the_node_takes_mount_options(node: Node) -> None:
    placed = await node.mounter.ensure(node.pod("a"), VOLUME, node.local(mountOptions=["noexec", "ro"]), None)
    [line] = [each for each in Path("/proc/self/mounts").read_text().splitlines() if f" {placed.path} " in each]
    assert {"noexec", "ro"} <= set(line.split(" ")[3].split(","))
    with pytest.raises(MountProblem, match="mount failed: exit status 32\nMounting command: mount\n"):
        await filesystems.restrict(commands.run, node.root, ["noexec"], read_only=False)
