"""The volumes of a pod as a whole: what fails, what is said, what goes on, on a real file system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.objects import ApiAway
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.volumes import mounts
from nodeagent.kubelet.volumes.claims import ClaimReader
from nodeagent.kubelet.volumes.manager import VolumeManager, VolumeProblem
from nodeagent.kubelet.volumes.persistent import Placed
from nodeagent.kubelet.volumes.tokens import TokenManager

Object = dict[str, Any]
NODE = NodeFacts("n")


class Store:
    """ConfigMaps by name; away: nobody answers."""

    def __init__(self) -> None:
        self.maps: dict[str, Object] = {}
        self.away = False

    async def get(self, kind: str, namespace: str, name: str, newer_than: float = 0.0) -> Object | None:
        if self.away:
            raise ApiAway("nobody answers")
        return self.maps.get(name)


class Said:
    """Events."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "", **more: Any) -> None:
        self.messages.append(f"{reason}: {message}")


class Node:
    """A volume manager with its surroundings."""

    def __init__(self, root: Path) -> None:
        self.store, self.said = Store(), Said()
        self.clock = ManualClock(datetime(2025, 1, 1, tzinfo=UTC))
        self.paths = Paths(root)
        self.manager = self.restarted()

    def restarted(self, client: Any = None) -> VolumeManager:
        return VolumeManager(
            self.paths,
            cast(Any, self.store),
            TokenManager(None, self.clock),
            ClaimReader(client, "n"),
            self.clock,
            Recorder(self.said, "n"),
        )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    yield Node(tmp_path)
    for point in mounts.mounts_below(tmp_path):
        mounts.unmount(point)


def pod(*volumes: Object) -> Object:
    metadata = {"name": "p", "namespace": "ns", "uid": "u"}
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": list(volumes)},
    }


MAP = {"name": "m", "configMap": {"name": "m"}}


async def test_every_volume_is_tried_and_said(node: Node) -> None:
    missing = {"name": "other", "configMap": {"name": "other"}}
    with pytest.raises(VolumeProblem) as problem:
        await node.manager.ensure(pod(MAP, missing, {"name": "e", "emptyDir": {}}), (), NODE)
    assert problem.value.events == (
        ("FailedMount", 'MountVolume.SetUp failed for volume "m" : configmap "m" not found'),
        ("FailedMount", 'MountVolume.SetUp failed for volume "other" : configmap "other" not found'),
    )
    assert problem.value.retry_in == pytest.approx(0.5)
    with pytest.raises(VolumeProblem) as again:
        await node.manager.ensure(pod(MAP), (), NODE)
    assert again.value.events == ()
    node.store.maps["m"] = {"data": {"k": "v"}}
    await node.clock.advance(0.5)
    found = await node.manager.ensure(pod(MAP), (), NODE)
    assert (found["m"].path / "k").read_text() == "v" and not found["m"].writable


async def test_what_no_container_uses_is_not_set_up(node: Node) -> None:
    """A pod starts without a ConfigMap that nobody mounts; a debugging container that mounts it needs it."""
    wanted = pod(MAP)
    [container] = wanted["spec"]["containers"]
    mounts = container.pop("volumeMounts")
    assert await node.manager.ensure(wanted, (), NODE) == {}
    wanted["spec"]["ephemeralContainers"] = [{"name": "debug", "volumeMounts": mounts}]
    with pytest.raises(VolumeProblem, match='configmap "m" not found'):
        await node.manager.ensure(wanted, (), NODE)


async def test_another_volume_is_mounted_below_one_of_files(node: Node) -> None:
    node.store.maps["m"] = {"data": {"k": "v", "file": ""}}
    wanted = pod(MAP, {"name": "e", "emptyDir": {}})
    wanted["spec"]["securityContext"] = {"fsGroup": 1234}
    wanted["spec"]["containers"][0]["volumeMounts"][1]["mountPath"] = "/m/cache"
    place = (await node.manager.ensure(wanted, (), NODE))["m"].path
    found = place.stat()
    assert (place / "cache").is_dir() and (found.st_gid, found.st_mode & 0o7777) == (1234, 0o2777)
    await node.manager.ensure(wanted, (), NODE)
    assert place.stat().st_mode == found.st_mode
    wanted["spec"]["containers"][0]["volumeMounts"][1]["mountPath"] = "/m/file"
    await node.manager.ensure(wanted, (), NODE)
    [message] = node.said.messages
    assert message.endswith(f"unable to create nested volume mountpoints: mkdir {place}/file: not a directory")


async def test_a_path_of_the_node_is_looked_at_once(node: Node, tmp_path: Path) -> None:
    place = tmp_path / "file"
    wanted = pod({"name": "h", "hostPath": {"path": str(place), "type": "File"}})
    with pytest.raises(VolumeProblem, match="is not a file"):
        await node.manager.ensure(wanted, (), NODE)
    place.write_text("")
    await node.clock.advance(0.5)
    await node.manager.ensure(wanted, (), NODE)
    place.unlink()
    assert (await node.manager.ensure(wanted, (), NODE))["h"].path == place
    await node.manager.remove("u")
    with pytest.raises(VolumeProblem, match="is not a file"):
        await node.manager.ensure(wanted, (), NODE)


async def test_everything_that_a_projected_volume_lacks_is_said(node: Node) -> None:
    node.store.away = True
    sources = [{"configMap": {"name": "m"}}, {"serviceAccountToken": {"path": "token"}}]
    with pytest.raises(VolumeProblem) as problem:
        await node.manager.ensure(pod({"name": "v", "projected": {"sources": sources}}), (), NODE)
    token = "failed to fetch token: cannot use TokenManager when kubelet is in standalone mode"
    text = f'MountVolume.SetUp failed for volume "v" : [nobody answers, {token}]'
    assert problem.value.events == (("FailedMount", text),)
    assert not mounts.mounts_below(node.paths.pods)


async def test_a_driver_that_is_not_there(node: Node) -> None:
    with pytest.raises(VolumeProblem) as problem:
        await node.manager.ensure(pod({"name": "v", "csi": {"driver": "no.such"}}), (), NODE)
    assert str(problem.value) == (
        'MountVolume.SetUp failed for volume "v" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
        "driver name no.such not found in the list of registered CSI drivers"
    )


async def test_a_claim_that_cannot_be_looked_up(node: Node) -> None:
    volume = {"name": "d", "persistentVolumeClaim": {"claimName": "c"}}
    with pytest.raises(VolumeProblem) as problem:
        await node.manager.ensure(pod(volume), (), NODE)
    [(_, message)] = problem.value.events
    summary = "Unable to attach or mount volumes: unmounted volumes=[d], unattached volumes=[], "
    assert message.startswith(f"{summary}failed to process volumes=[d]: error processing PVC ns/c: ")


class Claims:
    """An API where no claim waits to grow."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, *_: Any) -> Object:
        self.asked += 1
        return {"spec": {}}


@pytest.mark.parametrize("writable", [True, False])
async def test_a_file_system_grows_for_who_may_write_to_it(node: Node, tmp_path: Path, writable: bool) -> None:
    placed = Placed("c", "pv", str(tmp_path), writable=writable, disk="d")
    node.paths.pod("u").mkdir(parents=True)
    (node.paths.pod("u") / "claims.json").write_text(json.dumps({"d": asdict(placed)}))
    api = Claims()
    volume = {"name": "d", "persistentVolumeClaim": {"claimName": "c", "readOnly": not writable}}
    await node.restarted(api).ensure(pod(volume), (), NODE)
    assert api.asked == int(writable)


@pytest.mark.parametrize("deleted", [True, False])
async def test_what_was_filled_serves_when_it_cannot_be_made_fresh(node: Node, deleted: bool) -> None:
    node.store.maps["m"] = {"data": {"k": "v"}}
    await node.manager.ensure(pod(MAP), (), NODE)
    node.store.maps.clear()
    node.store.away = not deleted
    manager = node.restarted()
    for _ in range(2):
        found = await manager.ensure(pod(MAP), (), NODE)
        assert (found["m"].path / "k").read_text() == "v"
    assert len(node.said.messages) == 1 and node.said.messages[0].startswith("FailedMount: MountVolume.SetUp failed")


async def test_a_pods_folder_goes_whatever_it_holds(node: Node, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    found = await node.manager.ensure(pod({"name": "e", "emptyDir": {}}), (), NODE)
    (found["e"].path / "link").symlink_to(outside)
    (found["e"].path / "a\n\x1b[2J b").write_text("")
    memory = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    await node.manager.ensure(pod(memory), (), NODE)
    await node.manager.remove("u")
    assert node.manager.pod_uids() == set() and (outside / "kept").exists()
