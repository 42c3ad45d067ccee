"""The tree of cgroups on a real v2 hierarchy: made, counted and removed with what runs in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from nodeagent.kubelet.cgroups import Cgroups, PodLimits
from nodeagent.kubelet.cgroups.tree import MOUNT, Tree
from tests.netns.kubelet.agent import eventually


@pytest.fixture
def groups() -> Iterator[Cgroups]:
    # A hybrid machine has v2 beside v1, with what controllers v1 leaves it: none, and its files are there all the same.
    mount = MOUNT if (MOUNT / "cgroup.controllers").exists() else MOUNT / "unified"
    root = f"klt-unified-{os.getpid()}"
    found = Cgroups(f"/{root}", Tree(mount), PodLimits(page_sizes=(2 << 20,)))
    yield found
    assert found.tree.remove(f"/{root}"), "something is left in the cgroups of the test"


def pod(uid: str, **resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": {"containers": [{"resources": resources}]}}


async def test_a_pods_cgroup_and_what_runs_in_it(groups: Cgroups) -> None:
    assert groups.v2
    await groups.ensure_roots()
    path = await groups.ensure_pod(pod("one", requests={"cpu": "1"}))
    assert path.endswith("/kubepods/burstable/podone") and groups.tree.exists(path)
    assert await groups.ensure_pod(pod("two")) == path.replace("burstable/podone", "besteffort/podtwo")
    assert groups.pod_uids() == {"one", "two"}
    pages = groups.tree.folder("", path) / "hugetlb.2MB.max"
    assert not groups.tree.has("hugetlb") or pages.read_text().strip() == "0", "huge pages that nobody asked for"
    inner = groups.tree.folder("", f"{path}/container")
    inner.mkdir()
    process = await asyncio.create_subprocess_exec("sleep", "600")
    (inner / "cgroup.procs").write_text(str(process.pid))
    eventually(lambda: groups.tree.remove(path), "the end of the cgroup")
    async with asyncio.timeout(60):
        assert await process.wait() < 0, "what ran in it was killed"
    assert await groups.remove_pod("one") and groups.pod_uids() == {"two"}
