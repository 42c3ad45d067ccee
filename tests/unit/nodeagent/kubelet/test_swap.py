"""Swap: whether the node has it, and which containers may use how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeagent.cri import messages as cri
from nodeagent.kubelet.runtime import swap
from nodeagent.kubelet.runtime.swap import Swap
from nodeagent.kubelet.volumes.mounts import keeps_tmpfs_in_memory

GI = 1 << 30
HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
NODE = Swap(8 * GI, 4 * GI, limited=True, counted=True, v2=True)


def pod(requests: dict[str, str], limits: dict[str, str], **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": requests, "limits": limits}}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [container], **spec}}


def limit(node: Swap, asked: dict[str, Any]) -> int:
    return node.limit(asked, asked["spec"]["containers"][0])


BURSTABLE = pod({"memory": "2Gi"}, {})


@pytest.mark.parametrize(
    ("text", "on"), [(HEADING, False), (HEADING + "/dev/sda2 partition 1048572 0 -2\n", True), (None, False)]
)
def test_a_machine_that_swaps(tmp_path: Path, text: str | None, on: bool) -> None:
    (tmp_path / "proc").mkdir()
    if text is not None:
        (tmp_path / "proc/swaps").write_text(text)
    assert swap.is_on(tmp_path) is on


@pytest.mark.parametrize(
    ("file", "v2"), [("kubepods/memory.swap.max", True), ("memory/memory.memsw.limit_in_bytes", False)]
)
def test_a_kernel_that_counts_it(tmp_path: Path, file: str, v2: bool) -> None:
    assert not swap.is_counted(tmp_path, v2=v2)
    place = tmp_path / file
    place.parent.mkdir()
    place.touch()
    assert swap.is_counted(tmp_path, v2=v2) and not swap.is_counted(tmp_path, v2=not v2)


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (BURSTABLE, GI),
        (pod({"memory": "2Gi"}, {"memory": "4Gi"}), GI),
        (pod({"memory": "3Gi"}, {}), 3 * GI // 2),
        (pod({"memory": "2Gi", "cpu": "1"}, {"memory": "2Gi"}), 0),
        (pod({"cpu": "1"}, {}), 0),
        (pod({"memory": "9Gi"}, {}), 0),
        (pod({}, {}), 0),
        (pod({"memory": "2Gi", "cpu": "1"}, {"memory": "2Gi", "cpu": "1"}), 0),
        (pod({"memory": "2Gi"}, {}, priority=2_000_000_000), 0),
    ],
    ids=["share", "below its limit", "larger share", "all it may use", "no request", "too large", "best effort",
         "guaranteed", "critical"],
)  # fmt: skip
def test_the_share_of_a_container(asked: dict[str, Any], most: int) -> None:
    assert limit(NODE, asked) == most


@pytest.mark.parametrize("change", [{"limited": False}, {"v2": False}, {"counted": False}, {"size": 0}])
def test_without_leave_there_is_none(change: dict[str, Any]) -> None:
    node = Swap(**{"memory": 8 * GI, "size": 4 * GI, "limited": True, "counted": True, "v2": True, **change})
    assert limit(node, BURSTABLE) == 0


@pytest.mark.parametrize(
    ("node", "unified", "both"),
    [
        (NODE, {"memory.swap.max": str(GI)}, 0),
        (Swap(8 * GI, 4 * GI, limited=False, counted=True, v2=True), {"memory.swap.max": "0"}, 0),
        (Swap(8 * GI, 4 * GI, limited=True, counted=True, v2=False), {}, 5 * GI),
        (Swap(8 * GI, 4 * GI, limited=True, counted=False, v2=True), {}, 0),
    ],
    ids=["limited", "none", "v1", "not counted"],
)
def test_what_the_runtime_is_told(node: Swap, unified: dict[str, str], both: int) -> None:
    resources = cri.LinuxContainerResources(memory_limit_in_bytes=5 * GI)
    asked = pod({"memory": "2Gi"}, {"memory": "5Gi"})
    node.apply(asked, asked["spec"]["containers"][0], resources)
    assert (dict(resources.unified), resources.memory_swap_limit_in_bytes) == (unified, both)


@pytest.mark.parametrize(
    ("release", "ids", "kept"),
    [
        ("6.4.0-1-amd64", "0 0 4294967295", True),
        ("6.12.9", "0 0 4294967295", True),
        ("6.3.9", "0 0 4294967295", False),
        ("6.12.9", "0 100000 65536", False),
    ],
)
def test_secrets_that_can_be_kept_out_of_it(tmp_path: Path, release: str, ids: str, kept: bool) -> None:
    for name, text in (("sys/kernel/osrelease", release), ("self/uid_map", ids)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert keeps_tmpfs_in_memory(tmp_path) is kept
