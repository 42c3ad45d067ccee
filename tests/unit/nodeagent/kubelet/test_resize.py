"""In-place resize: what is asked, given, applied and told; pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet.actions import compute_actions
from nodeagent.kubelet.cgroups import Applied, Cgroups
from nodeagent.kubelet.cgroups.settings import read_applied
from nodeagent.kubelet.cgroups.tree import Tree
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import container_hash
from nodeagent.kubelet.resize import plan
from nodeagent.kubelet.resize.resizer import Resizer
from nodeagent.kubelet.runtime.state import ContainerState, PodState, SandboxState, State
from nodeagent.kubelet.runtime.swap import Swap

MI = 1 << 20
NO_SWAP = Swap(1 << 30, 0, limited=False, counted=False, v2=True)


def pod(name: str = "p", **resources: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    }


def test_a_grant_stands_in_for_what_is_asked() -> None:
    now, held = pod(requests={"cpu": "2"}), {"c": {"requests": {"cpu": "1"}}}
    assert plan.granted(now, held)["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert now["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}, "the API's pod stays as it is"
    assert plan.granted(now, plan.asked(now)) is now and plan.granted(now, {})["spec"] == now["spec"]


@pytest.mark.parametrize(
    ("cpu", "verdict"), [("1500m", ""), ("1501m", plan.DEFERRED), ("2", plan.DEFERRED), ("2001m", plan.INFEASIBLE)]
)
def test_what_the_node_can_give(cpu: str, verdict: str) -> None:
    others = [pod("other", requests={"cpu": "500m"})]
    assert plan.judge(pod(requests={"cpu": cpu}), others, {"cpu": 2000, "memory": MI, "pods": 10}) == verdict


def test_a_restart_is_for_who_asks_for_it() -> None:
    container = {"name": "c", "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    have = Applied(102, 10_000, 64 * MI)
    assert plan.needs_restart(container, have, Applied(102, 10_000, 65 * MI))
    assert not plan.needs_restart(container, have, Applied(204, 20_000, 64 * MI))


def test_what_a_container_has_is_told_in_the_words_of_its_spec_while_it_is_so() -> None:
    resources = {"requests": {"cpu": "0.1", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    container = {"name": "c", "resources": resources}
    for v2 in (False, True):
        want = plan.wanted({"spec": {}}, container, v2=v2, cpu_quota=True)
        assert plan.shown(container, want, want, v2=v2) == resources
    want = plan.wanted({"spec": {}}, container, v2=False, cpu_quota=True)
    old = Applied(51, 10_000, 48 * MI)
    assert plan.shown(container, old, want, v2=False) == {
        "requests": {"cpu": "50m", "memory": "32Mi"},
        "limits": {"cpu": "100m", "memory": str(48 * MI)},
    }
    assert container["resources"] == resources


def test_memory_is_counted_by_pages() -> None:
    container = {"name": "c", "resources": {"limits": {"memory": "100M"}}}
    assert plan.wanted({"spec": {}}, container, v2=True, cpu_quota=True).memory == 99_999_744


@pytest.mark.parametrize(
    ("files", "v2", "applied"),
    [
        ({"cpu.weight": "4\n", "cpu.max": "max 100000\n", "memory.max": "max\n"}, True, Applied(4, 0, 0)),
        ({"cpu.weight": "4\n", "cpu.max": "5000 50000\n", "memory.max": "4096\n"}, True, Applied(4, 10_000, 4096)),
        (
            {"cpu.shares": "2", "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000",
             "memory.limit_in_bytes": "9223372036854771712"},
            False, Applied(2, 0, 0),
        ),
        (
            {"cpu.shares": "102", "cpu.cfs_quota_us": "20000", "cpu.cfs_period_us": "100000",
             "memory.limit_in_bytes": "67108864"},
            False, Applied(102, 20_000, 64 * MI),
        ),
    ],
    ids=["v2 free", "v2", "v1 free", "v1"],
)  # fmt: skip
def test_what_the_kernel_holds(files: dict[str, str], v2: bool, applied: Applied) -> None:
    assert read_applied(lambda _, file: files[file], v2=v2) == applied


def test_a_restart_for_a_resize_is_planned() -> None:
    digest = container_hash({"name": "c", "image": "i"})
    runs = ContainerState("c0", "c", State.RUNNING, sandbox_id="box", hash=digest)
    state = PodState("p", "p", "n", (SandboxState("box", 0, True, ips=("10.0.0.1",)),), (runs,))
    assert compute_actions(pod(), state).nothing
    found = compute_actions(pod(), state, resized={"c"})
    assert found.start == ["c"] and not found.kill_pod
    assert found.kill["c0"].message == "Container c resize requires restart, will be restarted"


@pytest.mark.parametrize("gate", [False, True])
async def test_what_was_granted_is_told_of_containers_that_there_are(tmp_path: Path, gate: bool) -> None:
    channel = Channel(f"unix://{tmp_path}/nobody.sock")
    groups = Cgroups("/", Tree(tmp_path))
    resizer = Resizer(
        RuntimeService(channel), groups, Paths(tmp_path), list, dict, cpu_quota=True, swap=NO_SWAP, show_allocated=gate
    )
    first, asked = pod(requests={"cpu": "1"}), pod(requests={"cpu": "2"})
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "3"}}}
    for each in (first, asked):
        each["spec"]["initContainers"] = [sidecar]
    resizer.settle(first)
    ran = ContainerState("c0", "c", State.EXITED, sandbox_id="box", hash="")
    statuses: list[dict[str, Any]] = [{"name": "c"}, {"name": "s"}]
    assert not resizer.show(asked, PodState("p", "p", "n", (), (ran,)), statuses)
    allocated = {"allocatedResources": {"cpu": "1"}} if gate else {}
    assert statuses == [
        {"name": "c", "resources": {"requests": {"cpu": "1"}}, **allocated},
        {"name": "s", "resources": {"requests": {"cpu": "3"}}},
    ], "the second has not been made yet"
    await channel.close()
