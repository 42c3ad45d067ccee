"""What every kind of disks must do: loop devices of this host, and qcow2 files in domains that are turned off.

The contract is controlplane/cloud/provider.py.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.commands import run
from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.kubelab.libvirt_disks import LibvirtDisks
from controlplane.cloud.kubelab.loop_disks import LoopDisks
from controlplane.cloud.provider import DiskInUse, DiskNotFound, DiskProblem, Disks
from provisioner.drivers import libvirtd
from provisioner.drivers.lab_disks import remove_pool, unplug_loops

MIB = 1 << 20
DISK = "vol-0123456789abcdef"
DOMAIN = """<domain type='qemu'><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices/></domain>"""


def lab_file(folder: Path, name: str, driver: str, where: dict[str, tuple[str, str]]) -> LabFile:
    machines = [
        {"name": each, "addresses": [f"10.9.0.{number}"], "zone": "z", "instance_type": "t", "where": at, "uuid": own}
        for number, (each, (at, own)) in enumerate(where.items(), 1)
    ]
    plain = {
        "name": name,
        "driver": driver,
        "region": "r",
        "networks": ["10.9.0.0/24"],
        "pods": [],
        "machines": machines,
    }
    (folder / "cloud.json").write_text(json.dumps(plain))
    return LabFile(folder / "cloud.json")


@pytest.fixture(params=["loop", "libvirt"])
def disks(request: pytest.FixtureRequest) -> Iterator[Disks]:
    """Of a lab with the machines a and b."""
    name = f"kbe-{uuid.uuid4().hex[:8]}"
    # Of a folder that libvirt may enter, unlike pytest's.
    root = Path("/var/lib/libvirt/images") if request.param == "libvirt" else Path(tempfile.gettempdir())
    folder = root / name
    folder.mkdir(parents=True)
    connection: Any = libvirtd.connect() if request.param == "libvirt" else None
    domains: list[Any] = []
    try:
        if connection is None:
            lab = lab_file(folder, name, "netns", {each: (str(folder / each), "") for each in "ab"})
            yield LoopDisks(lab, folder / "volumes", patience=1.0)
        else:
            domains += [connection.defineXML(DOMAIN.format(f"{name}-{each}")) for each in "ab"]
            where = {each: (domain.name(), domain.UUIDString()) for each, domain in zip("ab", domains, strict=True)}
            yield LibvirtDisks(lab_file(folder, name, "libvirt", where), folder / "volumes")
    finally:
        unplug_loops(folder / "volumes")
        for domain in domains:
            domain.undefine()
        if connection is not None:
            remove_pool(connection, name)
        shutil.rmtree(folder)


async def test_a_disk_is_made_once_and_removed(disks: Disks) -> None:
    assert await disks.create(DISK, 4 * MIB) == 4 * MIB
    assert await disks.create(DISK, 2 * MIB) == 4 * MIB
    with pytest.raises(DiskProblem, match="less than 8388608"):
        await disks.create(DISK, 8 * MIB)
    await disks.delete(DISK)
    await disks.delete(DISK)
    assert await disks.create(DISK, 8 * MIB) == 8 * MIB


async def test_a_disk_is_one_machines(disks: Disks) -> None:
    await disks.create(DISK, 4 * MIB)
    first = await disks.attach(DISK, "a")
    assert await disks.attach(DISK, "a") == first
    assert await disks.attached() == {DISK: "a"}
    with pytest.raises(DiskInUse, match="attached to a"):
        await disks.attach(DISK, "b")
    with pytest.raises(DiskInUse, match="attached to a"):
        await disks.delete(DISK)
    await disks.detach(DISK, "b")
    assert await disks.attached() == {DISK: "a"}
    await disks.detach(DISK, "a")
    await disks.detach(DISK, "a")
    assert await disks.attached() == {}
    await disks.attach(DISK, "b")
    assert await disks.attached() == {DISK: "b"}
    await disks.detach(DISK, "b")
    await disks.delete(DISK)


async def test_a_disk_grows_wherever_it_is_and_never_shrinks(disks: Disks) -> None:
    await disks.create(DISK, 4 * MIB)
    assert await disks.resize(DISK, 8 * MIB) == 8 * MIB
    await disks.attach(DISK, "a")
    assert await disks.resize(DISK, 16 * MIB) == 16 * MIB
    assert await disks.resize(DISK, 4 * MIB) == 16 * MIB
    await disks.detach(DISK, "a")
    assert await disks.create(DISK, 16 * MIB) == 16 * MIB


async def test_what_is_not_there(disks: Disks) -> None:
    await disks.create(DISK, 4 * MIB)
    with pytest.raises(DiskNotFound, match="there is no machine zz"):
        await disks.attach(DISK, "zz")
    with pytest.raises(DiskNotFound, match="there is no disk vol-ffffffffffffffff"):
        await disks.attach("vol-ffffffffffffffff", "a")
    with pytest.raises(DiskNotFound):
        await disks.resize("vol-ffffffffffffffff", MIB)
    assert await disks.attached() == {}


async def test_more_than_there_can_be(disks: Disks) -> None:
    with pytest.raises(DiskProblem):
        await disks.create(DISK, 1 << 62)
    assert await disks.create(DISK, 4 * MIB) == 4 * MIB  # nothing is left of it


@pytest.mark.parametrize("disks", ["loop"], indirect=True)
async def test_a_device_that_is_mounted_is_not_pulled_out(disks: Disks, tmp_path: Path) -> None:
    await disks.create(DISK, 4 * MIB)
    device = await disks.attach(DISK, "a")
    await run("mkfs.ext4", "-q", device)
    await run("mount", device, str(tmp_path))
    try:
        with pytest.raises(DiskProblem, match="still in use"):
            await disks.detach(DISK, "a")
        assert await disks.attached() == {DISK: "a"}
    finally:
        await run("umount", str(tmp_path))
    await disks.detach(DISK, "a")
    assert await disks.attached() == {}
