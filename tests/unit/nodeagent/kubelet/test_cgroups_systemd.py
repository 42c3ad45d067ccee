"""The systemd driver on a real message bus, with a stand-in for systemd's manager that makes the slices' folders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, method, signal

from nodeagent.kubelet.cgroups import Cgroups, PodLimits
from nodeagent.kubelet.cgroups.systemd import INFINITY, Systemd, SystemdProblem, plan_limits, plan_slice
from nodeagent.kubelet.cgroups.tree import Tree
from nodeagent.kubelet.qos import Limits

FILES = {"cpu.weight": "100", "cpu.max": "max 100000", "memory.max": "max", "pids.max": "max", "cgroup.procs": ""}


def test_limits_as_properties() -> None:
    limits = Limits(1024, 12_345, memory=1 << 30)
    assert plan_limits(limits, v2=True, pids=100) == [
        ("CPUWeight", "t", 39),
        ("CPUQuotaPerSecUSec", "t", 130_000),
        ("CPUQuotaPeriodUSec", "t", 100_000),
        ("MemoryMax", "t", 1 << 30),
        ("TasksMax", "t", 100),
    ]
    free = {name: value for name, _, value in plan_limits(Limits(2), v2=False)}
    assert free["CPUShares"] == 2 and free["MemoryLimit"] == free["TasksMax"] == free["CPUQuotaPerSecUSec"] == INFINITY
    assert ("Wants", "as", ["a.slice"]) in plan_slice("a.slice", v2=True)
    assert "BlockIOAccounting" in [name for name, _, _ in plan_slice("", v2=False)]


class Manager(ServiceInterface):
    """What the kubelet uses of systemd: transient slices, their properties, jobs that end later."""

    def __init__(self, mount: Path) -> None:
        super().__init__("org.freedesktop.systemd1.Manager")
        self._mount, self._jobs = mount, 0
        self.units: dict[str, dict[str, Any]] = {}
        self.subscribed = False
        self.result = "done"

    @method(name="Subscribe")
    def subscribe(self) -> "":  # type: ignore[valid-type]  # noqa: F722
        self.subscribed = True

    @method(name="StartTransientUnit")
    def start(self, unit: "s", mode: "s", properties: "a(sv)", more: "a(sa(sv))") -> "o":  # type: ignore  # noqa
        if unit in self.units:
            raise DBusError("org.freedesktop.systemd1.UnitExists", f"Unit {unit} was already loaded")
        self._fill(self._mount / self._place(unit))
        self.units[unit] = {name: variant.value for name, variant in properties}
        return self._job(unit)

    @method(name="SetUnitProperties")
    def change(self, unit: "s", runtime: "b", properties: "a(sv)") -> "":  # type: ignore  # noqa
        assert runtime
        self.units[unit] |= {name: variant.value for name, variant in properties}

    @method(name="StopUnit")
    def stop(self, unit: "s", mode: "s") -> "o":  # type: ignore  # noqa
        if unit not in self.units:
            raise DBusError("org.freedesktop.systemd1.NoSuchUnit", f"Unit {unit} not loaded.")
        del self.units[unit]
        place = self._mount / self._place(unit)
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
        return self._job(unit)

    @signal(name="JobRemoved")
    def removed(self, number: int, job: str, unit: str, result: str) -> "uoss":  # type: ignore  # noqa
        return [number, job, unit, result]

    def _job(self, unit: str) -> str:
        self._jobs += 1
        job = f"/org/freedesktop/systemd1/job/{self._jobs}"
        asyncio.get_running_loop().call_later(0.01, self.removed, self._jobs, job, unit, self.result)
        return job

    def _place(self, unit: str) -> str:
        parts = unit.removesuffix(".slice").split("-")
        return "/".join("-".join(parts[: end + 1]) + ".slice" for end in range(len(parts)))

    def _fill(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (place / name).write_text(text)


class Flat(Tree):
    """A v2 tree of plain files, in which systemd makes the folders."""

    def __init__(self, mount: Path) -> None:
        (mount / "cgroup.controllers").write_text("cpu memory pids\n")
        super().__init__(mount)

    def ensure(self, path: str) -> None:
        assert self.exists(path), f"systemd has not made {path}"

    def read(self, path: str, file: str) -> str:
        return (self.folder("", path) / file).read_text()


@pytest.fixture
async def manager(address: str, tmp_path: Path) -> AsyncIterator[Manager]:
    bus = await MessageBus(bus_address=address).connect()
    stand_in = Manager(tmp_path / "cgroup")
    bus.export("/org/freedesktop/systemd1", stand_in)
    await bus.request_name("org.freedesktop.systemd1")
    yield stand_in
    bus.disconnect()


POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "a-b"},
    "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "64Mi"}}}]},
}


async def test_a_pods_slice(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "cgroup").mkdir(exist_ok=True)
    units = Systemd()
    groups = Cgroups("/", Flat(tmp_path / "cgroup"), PodLimits(pids=50), units)
    await groups.ensure_roots()
    await groups.ensure_roots()
    assert manager.subscribed
    assert set(manager.units) == {"kubepods.slice", "kubepods-burstable.slice", "kubepods-besteffort.slice"}
    assert manager.units["kubepods-burstable.slice"]["Wants"] == ["kubepods.slice"]
    path = await groups.ensure_pod(POD)
    assert path == "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice"
    made = manager.units["kubepods-burstable-poda_b.slice"]
    assert (made["MemoryMax"], made["TasksMax"], made["CPUWeight"]) == (64 << 20, 50, 39)
    assert groups.tree.exists(path) and manager.units["kubepods-burstable.slice"]["CPUWeight"] == 39
    assert groups.pod_paths() == {"a-b": path}
    assert groups.container_path(path, "0f").endswith("/cri-containerd-0f.scope")
    await groups.enforce(Limits(2048, memory=1 << 30))
    assert manager.units["kubepods.slice"]["MemoryMax"] == 1 << 30
    assert await groups.remove_pod("a-b")
    assert "kubepods-burstable-poda_b.slice" not in manager.units and groups.pod_uids() == set()
    await units.close()


async def test_what_systemd_refuses(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "cgroup").mkdir(exist_ok=True)
    units = Systemd()
    await units.stop("gone.slice")
    manager.result = "failed"
    with pytest.raises(SystemdProblem, match=r"StartTransientUnit x\.slice: the job ended as failed"):
        await units.start("x.slice", plan_slice("", v2=True))
    await units.close()


async def test_a_bus_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(SystemdProblem, match="cannot connect to the system bus"):
        await Systemd().start("x.slice", [])
