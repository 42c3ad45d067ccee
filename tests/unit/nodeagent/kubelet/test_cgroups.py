"""Names, settings and enforcement of cgroups: pure, and on a tree of plain files."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.kubelet import qos
from nodeagent.kubelet.cgroups import Cgroups, names
from nodeagent.kubelet.cgroups.allocatable import Enforcer, plan_enforcement
from nodeagent.kubelet.cgroups.settings import Setting, page_size_text, plan_hugepages, plan_settings
from nodeagent.kubelet.cgroups.tree import Tree
from nodeagent.kubelet.qos import Limits

UID = "1bb14c1e-5a3d-4c0e-9a53-8f2d0e8a1c77"
QUALITIES: list[tuple[dict[str, Any], str]] = [
    ({}, "besteffort"),
    ({"requests": {"cpu": "1"}}, "burstable"),
    ({"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "1", "memory": "1Mi"}}, ""),
]


def pod(resources: Mapping[str, Any], uid: str = UID) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": uid},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
    }


@pytest.mark.parametrize(("resources", "folder"), QUALITIES, ids=["besteffort", "burstable", "guaranteed"])
def test_paths_of_both_drivers(resources: dict[str, Any], folder: str) -> None:
    name = names.pod_name("/", pod(resources))
    assert names.path(name, names.CGROUPFS) == "/".join(["/kubepods", *filter(None, [folder]), f"pod{UID}"])
    flat, dashed = UID.replace("-", "_"), f"-{folder}" if folder else ""
    under = f"kubepods{dashed}.slice/" if folder else ""
    assert names.path(name, names.SYSTEMD) == f"/kubepods.slice/{under}kubepods{dashed}-pod{flat}.slice"
    assert names.unit(name) == f"kubepods{dashed}-pod{flat}.slice"


def test_a_root_is_part_of_every_systemd_slice() -> None:
    name = names.pods_name("/my-lab/")
    assert names.path(name, names.SYSTEMD) == "/my_lab.slice/my_lab-kubepods.slice"
    assert names.path(name, names.CGROUPFS) == "/my-lab/kubepods"


@pytest.mark.parametrize("driver", [names.CGROUPFS, names.SYSTEMD])
@pytest.mark.parametrize("uid", [UID, "0123456789abcdef0123456789abcdef"])
def test_a_folder_tells_its_pod_and_container(driver: str, uid: str) -> None:
    for resources, _ in QUALITIES:
        folder = names.path(names.pod_name("/r", pod(resources, uid)), driver).rpartition("/")[2]
        assert names.pod_uid_of(folder, driver) == uid
    assert names.container_of(names.container_folder("abc", driver), driver) == "abc"


@pytest.mark.parametrize("folder", ["burstable", "kubepods-burstable.slice", "user.slice", "pod", "system.slice"])
def test_other_folders_are_no_pods(folder: str) -> None:
    assert names.pod_uid_of(folder, names.SYSTEMD) is None and names.pod_uid_of(folder, names.CGROUPFS) is None


def test_settings_on_both_versions() -> None:
    limits = Limits(102, 20_000, memory=1 << 20)
    assert [(s.file, s.value) for s in plan_settings(limits, v2=True, pids=10)] == [
        ("cpu.weight", "4"),
        ("cpu.max", "20000 100000"),
        ("memory.max", "1048576"),
        ("pids.max", "10"),
    ]
    assert [(s.controller, s.file, s.value) for s in plan_settings(Limits(2), v2=False)][2:4] == [
        ("cpu", "cpu.cfs_quota_us", "-1"),
        ("memory", "memory.limit_in_bytes", "-1"),
    ]


def test_huge_pages_not_asked_for_are_forbidden() -> None:
    sizes = [2 << 20, 1 << 30]
    assert plan_hugepages({2 << 20: 64 << 20}, sizes, v2=True) == [
        Setting("", "hugetlb.2MB.max", "67108864"),
        Setting("", "hugetlb.1GB.max", "0"),
    ]
    assert plan_hugepages({}, sizes[:1], v2=False) == [Setting("hugetlb", "hugetlb.2MB.limit_in_bytes", "0")]
    assert [page_size_text(size) for size in (64 << 10, 2 << 20, 16 << 30)] == ["64KB", "2MB", "16GB"]


def test_limits_of_a_pod() -> None:
    resources = {"limits": {"cpu": "500m", "memory": "1Gi", "hugepages-2Mi": "4Mi"}}
    asked = {**resources, "requests": {**resources["limits"], "cpu": "250m"}}
    limits = qos.pod_limits(pod(asked))
    assert limits == Limits(256, 50_000, memory=1 << 30, hugepages={2 << 20: 4 << 20})
    assert qos.pod_limits(pod(asked), cpu_quota=False).cpu_quota == 0
    half = pod(asked)
    half["spec"]["initContainers"] = [{"name": "i", "resources": {"limits": {"cpu": "1"}}}]
    assert (qos.pod_limits(half).memory, qos.pod_limits(half).cpu_quota) == (0, 100_000)


class Files(Tree):
    """A v2 tree of plain files: a new folder has the files that the kernel would put there."""

    def __init__(self, mount: Path, refuse: str = "") -> None:
        self._fill(mount)
        super().__init__(mount)
        self.refuse = refuse

    def ensure(self, path: str) -> None:
        place = self.folder("", "")
        for part in path.strip("/").split("/"):
            place = place / part
            place.mkdir(exist_ok=True)
            self._fill(place)

    def apply(self, path: str, settings: Any) -> None:
        listed = list(settings)
        if self.refuse in [setting.file for setting in listed]:
            raise OSError(errno.EBUSY, "Device or resource busy", self.refuse)
        super().apply(path, listed)

    def read(self, path: str, file: str) -> str:
        return (self.folder("", path) / file).read_text()

    @staticmethod
    def _fill(place: Path) -> None:
        start = {"cgroup.controllers": "cpu memory pids hugetlb", "cpu.weight": "100", "cpu.max": "max 100000"}
        start |= {
            "memory.max": "max",
            "memory.min": "0",
            "pids.max": "max",
            "hugetlb.2MB.max": "max",
            "cgroup.procs": "",
        }
        for name, text in start.items():
            if not (place / name).exists():
                (place / name).write_text(text)


async def test_the_burstable_class_weighs_what_its_pods_ask_for(tmp_path: Path) -> None:
    tree = Files(tmp_path)
    groups = Cgroups("/", tree)
    await groups.ensure_roots()
    assert tree.read("/kubepods/besteffort", "cpu.weight") == "1"
    one, two = pod({"requests": {"cpu": "1"}}, "one"), pod({"requests": {"cpu": "3"}}, "two")
    await groups.ensure_pod(one)
    assert await groups.ensure_pod(two) == "/kubepods/burstable/podtwo"
    await groups.ensure_pod(pod({}, "three"))
    assert tree.read("/kubepods/burstable", "cpu.weight") == str(qos.cpu_weight(4096))
    assert groups.pod_uids() == {"one", "two", "three"} and groups.pod_path("one") == "/kubepods/burstable/podone"
    await groups.remove_pod("two")
    assert tree.read("/kubepods/burstable", "cpu.weight") == str(qos.cpu_weight(1024))


def test_what_is_enforced() -> None:
    amounts = {"cpu": 1500, "memory": 1 << 30, "pid": 4000}
    reserved = {"system": ("/system", {"cpu": 100, "memory": 1 << 20}), "kube": ("", {})}
    [pods_only] = plan_enforcement(["pods"], capacity={}, allocatable=amounts, reserved=reserved)
    assert (pods_only.cgroup, pods_only.limits, pods_only.pids) == ("", Limits(1536, memory=1 << 30), 4000)
    loose, system = plan_enforcement(
        ["system-reserved"], capacity={"cpu": 2000}, allocatable=amounts, reserved=reserved
    )
    assert loose.limits == Limits(2048) and system.limits == Limits(102, memory=1 << 20)
    assert system.done == "Updated limits on system reserved cgroup /system"


async def test_enforcement_is_told_once_and_tried_again(tmp_path: Path) -> None:
    tree, clock = Files(tmp_path, refuse="memory.max"), ManualClock()
    groups = Cgroups("/", tree)
    await groups.ensure_roots()
    said: list[tuple[str, str]] = []
    wanted = plan_enforcement(
        ["pods", "kube-reserved"],
        capacity={},
        allocatable={"memory": 1 << 30, "cpu": 2000},
        reserved={"kube": ("/gone", {"cpu": 100})},
    )
    enforcer = Enforcer(groups, wanted, lambda kind, _reason, message: said.append((kind, message)), clock)
    task = asyncio.create_task(enforcer.run())
    await clock.advance(0)
    missing = ("Warning", 'Failed to enforce Kube Reserved Cgroup Limits on "/gone": "/gone" cgroup does not exist')
    assert said[0][0] == "Warning" and "Device or resource busy" in said[0][1] and said[1:] == [missing]
    await clock.advance(60)
    assert len(said) == 2
    tree.refuse = ""
    await clock.advance(60)
    assert said[2:] == [("Normal", "Updated Node Allocatable limit across pods")]
    assert tree.read("/kubepods", "memory.max") == str(1 << 30)
    task.cancel()
