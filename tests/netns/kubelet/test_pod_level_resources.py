"""Pods that ask for something as a whole (KEP-2837), by stock kubectl: what the scheduler and the kernel make of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.cgroups.tree import Tree
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined

GATE = "PodLevelResources"
FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
MI = 1 << 20


@pytest.fixture(scope="module")
def cluster_flags() -> tuple[str, ...]:
    return (f"--feature-gates={GATE}=true",)


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, featureGates={GATE: True}) as agent:
        yield agent
        cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s")
        eventually(lambda: not agent.pods(), "an empty node")


def create(cluster: Cluster, name: str, own: dict[str, Any], *containers: dict[str, Any]) -> None:
    spec = {"containers": list(containers), "resources": own, "terminationGracePeriodSeconds": 1}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def number(controller: str, path: str, v2: str, v1: str) -> int:
    """What the file of a cgroup holds; of `cpu.max` the quota."""
    folder = Tree().folder(controller, path)
    file = next(each for each in (folder / v2, folder / v1) if each.exists())
    return int(file.read_text().split()[0])


def limits(path: str) -> tuple[int, int]:
    """µs of cpu and bytes of memory that the kernel lets a cgroup have."""
    return (
        number("cpu", path, "cpu.max", "cpu.cfs_quota_us"),
        number("memory", path, "memory.max", "memory.limit_in_bytes"),
    )


def test_containers_share_what_their_pod_may_use(cluster: Cluster, kubelet: Kubelet) -> None:
    own = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "128Mi"}}
    small = {"resources": {"limits": {"memory": "32Mi"}}}
    create(cluster, "shares", own, busybox(FOREVER), busybox(FOREVER, **small) | {"name": "small"})
    pod = cluster.ready("shares")
    assert pod["spec"]["resources"]["requests"] == {"cpu": "100m", "memory": "32Mi"}
    assert pod["status"]["qosClass"] == "Burstable"
    groups = Cgroups(kubelet.machine.cgroup)
    path = groups.pod_path(pod["metadata"]["uid"])
    assert path is not None
    assert limits(path) == (20_000, 128 * MI)
    ids = {each["name"]: each["containerID"].partition("://")[2] for each in pod["status"]["containerStatuses"]}
    assert limits(f"{path}/{ids['main']}") == (20_000, 128 * MI)
    assert limits(f"{path}/{ids['small']}") == (20_000, 32 * MI)


def test_a_pod_whose_requests_equal_its_limits_is_guaranteed(cluster: Cluster, kubelet: Kubelet) -> None:
    create(cluster, "sure", {"limits": {"cpu": "100m", "memory": "64Mi"}}, busybox(FOREVER))
    pod = cluster.ready("sure")
    assert pod["status"]["qosClass"] == "Guaranteed"
    path = Cgroups(kubelet.machine.cgroup).pod_path(pod["metadata"]["uid"])
    assert path is not None and "burstable" not in path
    assert limits(path) == (10_000, 64 * MI)


def test_the_scheduler_counts_them(cluster: Cluster, kubelet: Kubelet) -> None:
    create(cluster, "large", {"requests": {"cpu": "1k"}}, busybox(FOREVER))
    waiting = eventually(
        lambda: [c for c in cluster.pod("large")["status"].get("conditions", ()) if c["status"] == "False"],
        "the scheduler's verdict",
    )
    assert waiting[0]["reason"] == "Unschedulable" and "Insufficient cpu" in waiting[0]["message"]
    cluster.kubectl("delete", "pod", "large")


def test_more_than_the_pod_has_is_refused(cluster: Cluster, kubelet: Kubelet) -> None:
    asked = {"resources": {"requests": {"cpu": "2"}}}
    spec = {"containers": [busybox(FOREVER, **asked)], "resources": {"requests": {"cpu": "1"}}}
    overrides = f'--overrides={{"spec": {json.dumps(spec)}}}'
    told = cluster.kubectl("run", "greedy", "--image=busybox", overrides, check=False)
    assert "must be greater than or equal to aggregate container requests of 2" in told
