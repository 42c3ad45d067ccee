"""Containers that get other resources while they run, by stock kubectl: what the kernel holds, what is told of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.cgroups.tree import Tree
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined

GATE = "InPlacePodVerticalScaling"
TOLD = "InPlacePodVerticalScalingAllocatedStatus"
FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
MI = 1 << 20


@pytest.fixture(scope="module")
def cluster_flags() -> tuple[str, ...]:
    return (f"--feature-gates={GATE}=true,{TOLD}=true",)


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, featureGates={GATE: True, TOLD: True}) as agent:
        yield agent
        cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s")
        eventually(lambda: not agent.pods(), "an empty node")


def resources(cpu: str, memory: str, limit_cpu: str, limit_memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": limit_cpu, "memory": limit_memory}}


def create(cluster: Cluster, name: str, asked: dict[str, Any], **container: Any) -> None:
    main = busybox(FOREVER, resources=asked, **container)
    spec = {"containers": [main], "nodeName": "node", "terminationGracePeriodSeconds": 1}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    cluster.ready(name)


def resize(cluster: Cluster, name: str, asked: dict[str, Any]) -> str:
    body = {"spec": {"containers": [{"name": "main", "resources": asked}]}}
    return cluster.kubectl("patch", "pod", name, "--subresource=resize", f"-p={json.dumps(body)}", check=False)


def main(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.pod(name)["status"]["containerStatuses"][0]
    return found


def held(cluster: Cluster, kubelet: Kubelet, name: str) -> tuple[int, int]:
    """µs of cpu and bytes of memory that the kernel lets the container have."""
    groups = Cgroups(kubelet.machine.cgroup)
    path = groups.pod_path(cluster.pod(name)["metadata"]["uid"])
    assert path is not None
    applied = groups.applied(path, main(cluster, name)["containerID"].partition("://")[2])
    assert applied is not None
    return applied.cpu_quota, applied.memory


def pod_memory(path: str) -> int:
    """Bytes that the kernel lets the whole pod have."""
    folder = Tree().folder("memory", path)
    file = next(each for each in (folder / "memory.max", folder / "memory.limit_in_bytes") if each.exists())
    return int(file.read_text())


def settled(cluster: Cluster, name: str, asked: dict[str, Any]) -> bool:
    shown = main(cluster, name)
    told = shown.get("resources") == asked and shown.get("allocatedResources") == asked["requests"]
    return told and "resize" not in cluster.pod(name)["status"]


def test_a_container_gets_more_and_less_without_a_restart(cluster: Cluster, kubelet: Kubelet) -> None:
    first, more = resources("50m", "32Mi", "100m", "64Mi"), resources("100m", "48Mi", "200m", "96Mi")
    create(cluster, "grows", first)
    eventually(lambda: settled(cluster, "grows", first), "the resources in the status")
    before = main(cluster, "grows")
    assert held(cluster, kubelet, "grows") == (10_000, 64 * MI)
    for asked, kernel in ((more, (20_000, 96 * MI)), (first, (10_000, 64 * MI))):
        assert "patched" in resize(cluster, "grows", asked)
        eventually(lambda kernel=kernel: held(cluster, kubelet, "grows") == kernel, f"{kernel}")
        eventually(lambda asked=asked: settled(cluster, "grows", asked), "the status")
    after = main(cluster, "grows")
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    refused = resize(cluster, "grows", {"limits": {"cpu": None}})
    assert "resource limits cannot be removed" in refused


def test_a_container_that_wants_a_restart_is_restarted(cluster: Cluster, kubelet: Kubelet) -> None:
    first, more = resources("50m", "32Mi", "100m", "64Mi"), resources("50m", "32Mi", "100m", "80Mi")
    create(cluster, "again", first, resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}])
    assert "patched" in resize(cluster, "again", more)
    eventually(lambda: main(cluster, "again")["restartCount"] == 1, "the restart")
    eventually(lambda: held(cluster, kubelet, "again") == (10_000, 80 * MI), "its memory")
    eventually(lambda: settled(cluster, "again", more), "the status")


def test_a_sidecar_is_counted_and_shown_and_not_resized(cluster: Cluster, kubelet: Kubelet) -> None:
    """Restartable init containers are resized from 1.33 on; 1.32 drops what a resize says of them."""
    first, more = resources("50m", "32Mi", "100m", "64Mi"), resources("100m", "48Mi", "200m", "96Mi")
    beside = busybox(FOREVER, name="beside", resources=first, restartPolicy="Always")
    spec = {"containers": [busybox(FOREVER, resources=first)], "initContainers": [beside], "nodeName": "node"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pair"},
         "spec": {**spec, "terminationGracePeriodSeconds": 1}}
    )  # fmt: skip
    cluster.ready("pair")
    whole = Cgroups(kubelet.machine.cgroup).pod_path(cluster.pod("pair")["metadata"]["uid"])
    assert whole is not None
    body = {"spec": {"initContainers": [{"name": "beside", "resources": more}]}}
    cluster.kubectl("patch", "pod", "pair", "--subresource=resize", f"-p={json.dumps(body)}")
    assert cluster.pod("pair")["spec"]["initContainers"][0]["resources"] == first
    assert "patched" in resize(cluster, "pair", more)
    eventually(lambda: settled(cluster, "pair", more), "the status")
    # The pod's own limits are those of both.
    eventually(lambda: pod_memory(whole) == 160 * MI, "what both may have")
    shown = cluster.pod("pair")["status"]["initContainerStatuses"][0]
    assert shown["resources"] == first and shown["restartCount"] == 0
    assert main(cluster, "pair")["restartCount"] == 0


def test_what_the_node_has_not_is_not_given(cluster: Cluster, kubelet: Kubelet) -> None:
    first = resources("50m", "32Mi", "100m", "64Mi")
    create(cluster, "greedy", first)
    create(cluster, "other", resources("50m", "32Mi", "100m", "64Mi"))
    cpus = int(cluster.get("node", "node")["status"]["allocatable"]["cpu"])

    def told(state: str) -> bool:
        return cluster.pod("greedy")["status"].get("resize") == state and main(cluster, "greedy")["resources"] == first

    assert "patched" in resize(cluster, "greedy", resources("9999", "32Mi", "9999", "64Mi"))
    eventually(lambda: told("Infeasible"), "the refusal")
    whole = resources(str(cpus), "32Mi", str(cpus), "64Mi")
    assert "patched" in resize(cluster, "greedy", whole)
    eventually(lambda: told("Deferred"), "that it has to wait")
    # What was granted is known to the next agent.
    kubelet.stop(signal.SIGKILL)
    kubelet.start()
    eventually(lambda: told("Deferred"), "that it still has to wait")
    assert held(cluster, kubelet, "greedy") == (10_000, 64 * MI)
    cluster.kubectl("delete", "pods", "other", "grows", "again", "pair", "--ignore-not-found", "--timeout=120s")
    eventually(lambda: held(cluster, kubelet, "greedy") == (cpus * 100_000, 64 * MI), "its turn")
    eventually(lambda: settled(cluster, "greedy", whole), "the status")
    assert main(cluster, "greedy")["restartCount"] == 0
