"""Memory that pods ask for is kept for them (KEP-2570, cgroup v2 alone): pods and classes, and containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeagent.kubelet.cgroups import Cgroups, PodLimits
from nodeagent.kubelet.qos import MemoryQos
from nodeagent.kubelet.runtime.render import ContainerInputs, render_container

from .test_cgroups import Files

MI = 1 << 20
NODE = MemoryQos(0.9, lambda: 1000 * MI)


def pod(uid: str, requests: dict[str, str], limits: dict[str, str] | None = None) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": requests, "limits": limits or {}}}
    return {"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": {"containers": [container]}}


def unified(wanted: dict[str, Any], **inputs: Any) -> dict[str, str]:
    made = render_container(wanted, wanted["spec"]["containers"][0], ContainerInputs("sha256:1", **inputs))
    return {name: value for name, value in made.linux.resources.unified.items() if name != "memory.oom.group"}


@pytest.mark.parametrize(
    ("requests", "limits", "settings"),
    [
        ({"memory": "100Mi"}, {"memory": "200Mi"}, {"memory.min": str(100 * MI), "memory.high": str(190 * MI)}),
        ({"memory": "100Mi"}, {}, {"memory.min": str(100 * MI), "memory.high": str(910 * MI)}),
        ({"memory": "100Mi"}, {"memory": "100Mi"}, {"memory.min": str(100 * MI)}),
        ({"cpu": "1"}, {}, {}),
        ({}, {"memory": "10000"}, {"memory.high": "8192"}),
    ],
)
def test_containers(requests: dict[str, str], limits: dict[str, str], settings: dict[str, str]) -> None:
    wanted = pod("u", requests, limits)
    assert unified(wanted, cgroup_v2=True, memory_qos=NODE) == settings
    assert unified(wanted, cgroup_v2=True) == unified(wanted, memory_qos=NODE) == {}


async def test_pods_and_what_lies_above_them(tmp_path: Path) -> None:
    tree = Files(tmp_path)
    groups = Cgroups("/", tree, PodLimits(memory_qos=True))
    await groups.ensure_roots()
    both = {"cpu": "1", "memory": "100Mi"}
    sure = await groups.ensure_pod(pod("sure", both, both))
    some = await groups.ensure_pod(pod("some", {"memory": "30Mi"}))
    await groups.ensure_pod(pod("none", {}))

    def kept() -> list[int]:
        return [int(tree.read(path, "memory.min")) // MI for path in ("/kubepods", "/kubepods/burstable", sure, some)]

    assert kept() == [130, 30, 100, 30]
    assert tree.read("/kubepods/besteffort/podnone", "memory.min") == "0"
    await groups.remove_pod("sure")
    assert [int(tree.read(path, "memory.min")) // MI for path in ("/kubepods", "/kubepods/burstable")] == [30, 30]


async def test_nothing_is_kept_while_the_gate_is_closed(tmp_path: Path) -> None:
    tree = Files(tmp_path)
    groups = Cgroups("/", tree)
    await groups.ensure_roots()
    assert tree.read(await groups.ensure_pod(pod("some", {"memory": "30Mi"})), "memory.min") == "0"
