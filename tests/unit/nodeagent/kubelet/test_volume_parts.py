"""Ownership, sizes, file systems on real devices of loop, and what is said of volumes that fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.commands import run
from nodeagent.kubelet.environment import ConfigProblem
from nodeagent.kubelet.runtime.render import plan_devices, plan_mounts
from nodeagent.kubelet.volumes import filesystems, mounts
from nodeagent.kubelet.volumes.attempts import Attempts, summarize
from nodeagent.kubelet.volumes.empty_dir import memory_size, page_size
from nodeagent.kubelet.volumes.filesystems import MountProblem
from nodeagent.kubelet.volumes.manager import HostVolume
from nodeagent.kubelet.volumes.ownership import is_owned, set_group
from nodeagent.kubelet.volumes.payload import PayloadProblem

GID = 4321


def test_the_group_owns_everything_and_no_link_is_followed(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    (volume / "d").mkdir(parents=True)
    (volume / "d/f").write_text("")
    (volume / "d/f").chmod(0o600)
    outside.write_text("")
    (volume / "d/link").symlink_to(outside)
    before = outside.stat()
    set_group(volume, GID)
    assert {(volume / part).lstat().st_gid for part in (".", "d", "d/f", "d/link")} == {GID}
    assert [(volume / part).stat().st_mode & 0o7777 for part in (".", "d", "d/f")] == [0o2775, 0o2775, 0o660]
    assert (outside.stat().st_gid, outside.stat().st_mode) == (before.st_gid, before.st_mode)


def test_what_cannot_be_given_stays_as_it_is(tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    fixed.mkdir(mode=0o755)
    (fixed / "file").write_text("")
    (tmp_path / "free").write_text("")
    mounts.bind(str(fixed), str(fixed), read_only=True)
    try:
        set_group(tmp_path, GID)
        assert (fixed.stat().st_gid, (fixed / "file").stat().st_gid) == (0, 0)
        assert tmp_path.stat().st_gid == (tmp_path / "free").stat().st_gid == GID
    finally:
        mounts.unmount(str(fixed))


def test_on_root_mismatch_looks_at_the_root_alone(tmp_path: Path) -> None:
    set_group(tmp_path, GID)
    (tmp_path / "new").write_text("")
    os.chown(tmp_path / "new", -1, 0)
    set_group(tmp_path, GID, on_root_mismatch=True)
    assert (tmp_path / "new").stat().st_gid == 0
    os.chown(tmp_path, -1, 0)
    assert not is_owned(tmp_path, GID, read_only=False)
    set_group(tmp_path, GID, on_root_mismatch=True)
    assert (tmp_path / "new").stat().st_gid == GID


def pod(*limits: str | None, **requests: str) -> dict[str, Any]:
    containers = [
        {"resources": {"limits": {"memory": limit} if limit else {}, "requests": requests}} for limit in limits
    ]
    return {"spec": {"containers": containers}}


@pytest.mark.parametrize(
    ("limits", "source", "allocatable", "size"),
    [
        ((None,), {}, 0, 0),
        ((None,), {}, 1000, 1000),
        (("100", "200"), {}, 1000, 300),
        (("100", None), {}, 1000, 1000),
        (("100",), {"sizeLimit": "50"}, 1000, 50),
        (("100",), {"sizeLimit": "500"}, 1000, 100),
    ],
)
def test_memory_is_bounded_by_the_least(limits: Any, source: Any, allocatable: int, size: int) -> None:
    assert memory_size(pod(*limits), source, allocatable) == size


@pytest.mark.parametrize(
    ("limits", "size"), [({"memory": "500"}, 500), ({"memory": "200"}, 300), ({"memory": "0"}, 1000), ({}, 1000)]
)
def test_memory_of_init_containers_counts(limits: dict[str, str], size: int) -> None:
    """The largest of them, if it is more than the others have; without a limit, the pod has none."""
    wanted = pod("100", "200")
    wanted["spec"]["initContainers"] = [{"resources": {"limits": limits}}]
    assert memory_size(wanted, {}, 1000) == size


def test_memory_of_a_sidecar_is_added() -> None:
    wanted = pod("100", "200")
    wanted["spec"]["initContainers"] = [{"restartPolicy": "Always", "resources": {"limits": {"memory": "50"}}}]
    assert memory_size(wanted, {}, 1000) == 350


@pytest.mark.parametrize(
    ("medium", "asked", "told"),
    [
        ("HugePages-2Mi", ["hugepages-2Mi"], str(2 << 20)),
        ("HugePages-2Mi", ["hugepages-1Gi", "hugepages-2Mi"], str(2 << 20)),
        ("HugePages", ["hugepages-1Gi"], str(1 << 30)),
        ("HugePages", ["hugepages-1Gi", "hugepages-1024Mi"], str(1 << 30)),
        (
            "HugePages",
            ["hugepages-1Gi", "hugepages-2Mi"],
            "medium: HugePages can't be used if container requests multiple huge page sizes",
        ),
        (
            "HugePages",
            [],
            "medium HugePages: hugePages storage requested, but there is no resource request for huge pages",
        ),
        (
            "HugePages-2Mi",
            ["hugepages-1Gi"],
            "medium HugePages-2Mi: hugePages storage requested, but there is no resource request for huge pages",
        ),
    ],
)
def test_huge_pages(medium: str, asked: list[str], told: str) -> None:
    wanted = pod(None, **dict.fromkeys(asked, "1Gi"))
    wanted["spec"]["initContainers"] = wanted["spec"]["containers"]
    wanted["spec"]["containers"] = [{}]
    if told.isdecimal():
        assert page_size(wanted, medium) == told
        return
    with pytest.raises(PayloadProblem) as refused:
        page_size(wanted, medium)
    assert str(refused.value) == told


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A block device of 32 MiB."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    done = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    yield Path(done.stdout.strip())
    subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)


async def test_an_empty_device_is_formatted_once_and_keeps_its_data(device: Path, tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    assert await filesystems.probe(run, device) == ""
    with pytest.raises(MountProblem, match="cannot mount unformatted disk"):
        await filesystems.ensure_mounted(run, device, target, "ext4", read_only=True)
    for expected in ([], ["kept"]):
        await filesystems.ensure_mounted(run, device, target, "ext4")
        assert [entry.name for entry in target.iterdir() if entry.name != "lost+found"] == expected
        (target / "kept").write_text("data")
        mounts.unmount(str(target))
    assert await filesystems.probe(run, device) == "ext4"
    with pytest.raises(MountProblem, match=r"^mount failed: exit status 32\n"):
        await filesystems.ensure_mounted(run, device, target, "xfs")


async def test_a_device_that_is_mounted_read_only_is_not_formatted(device: Path, tmp_path: Path) -> None:
    with pytest.raises(MountProblem) as refused:
        await filesystems.ensure_mounted(run, device, tmp_path, "ext4", options=["ro"])
    text = f"cannot mount unformatted disk {device} as we are manipulating it in read-only mode"
    assert str(refused.value) == text and await filesystems.probe(run, device) == ""


async def test_an_older_file_system_is_mounted_as_a_newer_one(device: Path, tmp_path: Path) -> None:
    await run("mkfs.ext3", "-F", str(device))
    await filesystems.ensure_mounted(run, device, tmp_path, "ext4")
    mounts.unmount(str(tmp_path))
    assert await filesystems.probe(run, device) == "ext3"


async def test_a_share_without_a_helper_says_what_mount_says(tmp_path: Path) -> None:
    with pytest.raises(MountProblem) as refused:
        await filesystems.mount(run, "127.0.0.1:/nothing", tmp_path, "nfs", [])
    text = str(refused.value)
    assert text.startswith(
        "mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs 127.0.0.1"
    )


async def test_each_volume_waits_longer_and_the_pod_is_told_of_after_two_minutes() -> None:
    clock = ManualClock(datetime(2025, 1, 1, tzinfo=UTC))
    attempts = Attempts(clock)
    told: list[str] = []
    tries = 0
    while clock.monotonic() < 200:
        due = attempts.is_due("u", "v")
        if due:
            tries += 1
            attempts.failed("u", "v")
        problem = attempts.problem("u", {"v": ("FailedMount", "no")} if due else {}, [] if due else ["v"], {})
        told += [message for _, message in problem.events]
        await clock.advance(problem.retry_in)
    summary = "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
    assert tries == 9 and told.count("no") == 9
    assert told.count(summary + "failed to process volumes=[]: context deadline exceeded") == 1


async def test_what_is_not_attached_is_looked_at_soon_and_named_late() -> None:
    clock = ManualClock(datetime(2025, 1, 1, tzinfo=UTC))
    attempts = Attempts(clock)
    told: list[str] = []
    waits: list[float] = []
    while clock.monotonic() < 130:
        if attempts.is_due("u", "v"):
            attempts.unattached("u", "v")
        problem = attempts.problem("u", {}, ["v"], {})
        told += [message for _, message in problem.events]
        waits.append(round(problem.retry_in, 3))
        await clock.advance(problem.retry_in)
    assert waits[:5] == [0.3, 0.6, 1.2, 2.0, 2.0] and max(waits) == 2.0
    summary = "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[v], "
    assert told == [summary + "failed to process volumes=[]: context deadline exceeded"]
    # Attached at last, it fails for another reason: that is tried from the beginning.
    attempts.failed("u", "v")
    assert attempts.problem("u", {"v": ("FailedMount", "no")}, [], {}).retry_in == pytest.approx(0.5)


def test_what_cannot_be_looked_up_is_named() -> None:
    attempts = Attempts(ManualClock(datetime(2025, 1, 1, tzinfo=UTC)))
    problem = attempts.problem("u", {}, [], {"a": "why", "b": "so", "c": "why"})
    assert str(problem).endswith("failed to process volumes=[a b c]: so; why")
    assert summarize(["b", "a"], ["a"], "PVC is not bound") == (
        "Unable to attach or mount volumes: unmounted volumes=[a b], unattached volumes=[], "
        "failed to process volumes=[a]: PVC is not bound"
    )


@pytest.mark.parametrize(
    ("mode", "more", "supported", "outcome"),
    [
        ("Disabled", {}, True, False),
        ("IfPossible", {}, True, True),
        ("IfPossible", {}, False, False),
        ("Enabled", {}, True, True),
        ("Enabled", {}, False, "but it is not supported by the runtime"),
        ("Enabled", {"readOnly": False}, True, "but it is not read-only"),
    ],
)
def test_read_only_all_the_way_down(mode: str, more: dict[str, Any], supported: bool, outcome: bool | str) -> None:
    asked = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": mode, **more}
    volumes = {"v": HostVolume(Path("/v"))}
    if isinstance(outcome, str):
        with pytest.raises(ConfigProblem, match=outcome):
            plan_mounts({"name": "c", "volumeMounts": [asked]}, volumes, {}, recursive=supported)
        return
    [plan] = plan_mounts({"name": "c", "volumeMounts": [asked]}, volumes, {}, recursive=supported)
    assert plan.mount.recursive_read_only is outcome


def test_raw_devices() -> None:
    container = {"name": "c", "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}
    [device] = plan_devices(container, {"v": HostVolume(Path("/dev/sdb"), writable=False, block=True)})
    assert (device.container_path, device.host_path, device.permissions) == ("/dev/x", "/dev/sdb", "r")
    with pytest.raises(ConfigProblem):
        plan_devices(container, {"v": HostVolume(Path("/v"))})
