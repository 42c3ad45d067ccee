"""What keeps a container from starting, and what ends it when it has just started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.kubelet import pods
from nodeagent.kubelet.actions import Actions
from nodeagent.kubelet.backoff import CrashBackoff
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.objects import ObjectStore
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.kill import Killer
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.start import Machine, Starter, StartProblem, Surroundings
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State
from nodeagent.kubelet.starting import Starting
from nodeagent.kubelet.status.containers import Waiting
from nodeagent.kubelet.status.manager import StatusManager
from nodeagent.kubelet.volumes.manager import HostVolume
from tests.unit.nodeagent.kubelet.sink import Sink


class Runtime:
    """Notes what it is asked for. The command `fail` fails."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.made: list[cri.ContainerConfig] = []

    async def create_container(self, _box: str, config: cri.ContainerConfig, *_: Any) -> str:
        self.made.append(config)
        return "c1"

    async def start_container(self, container: str) -> None:
        self.noted.append(f"start {container}")

    async def stop_container(self, container: str, grace: int) -> None:
        self.noted.append(f"stop {container} {grace}")

    async def exec_sync(self, _container: str, command: Sequence[str], _timeout: float) -> cri.ExecSyncResponse:
        self.noted.append(command[0])
        return cri.ExecSyncResponse(exit_code=int(command[0] == "fail"))


class Images:
    async def ensure(self, *_: Any) -> cri.Image:
        return cri.Image(id="sha256:1")


class Api:
    """Has every ConfigMap that it is asked for, all with the same data."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    async def get(self, _resource: Any, _name: str, _namespace: str) -> dict[str, Any]:
        return {"data": {**self.data}}


class Node:
    def __init__(self, folder: Path) -> None:
        self.runtime, self.sink, self.clock = Runtime(), Sink(), ManualClock()
        clock = self.clock
        calls: Any = self.runtime
        images: Any = Images()
        nothing: Any = None
        self.api = Api()
        client: Any = self.api
        recorder = Recorder(self.sink, "node")
        self.starter = Starter(
            calls,
            images,
            ObjectStore(client, clock),
            Paths(folder / "kubelet", folder / "pods", folder / "containers"),
            recorder,
            clock,
            Machine(2**30, cgroup_v2=True, cluster_domain="c"),
            nothing,
            Killer(calls, clock, recorder),
        )
        (folder / "kubelet" / "pods" / "u").mkdir(parents=True)

    async def start(
        self, pod: dict[str, Any], services: Mapping[str, str] | None, **volumes: HostVolume
    ) -> StartProblem | None:
        around = Surroundings("box", cri.PodSandboxConfig(), ("10.0.0.1",), volumes, services, (), NodeFacts("node"))
        try:
            await self.starter.start(pod, pod["spec"]["containers"][0], around, 0)
        except StartProblem as problem:
            return problem
        return None


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def pod(**container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": [{"name": "main", "image": "busybox", **container}],
            "terminationGracePeriodSeconds": 7,
        },
    }


async def test_a_hook_that_fails_ends_the_container_with_its_own_last_hook(node: Node) -> None:
    hooks = {kind: {"exec": {"command": [word]}} for kind, word in (("postStart", "fail"), ("preStop", "bye"))}
    problem = await node.start(pod(lifecycle=hooks), {})
    assert problem is not None and problem.reason == "PostStartHookError"
    assert str(problem).startswith('Exec lifecycle hook ([fail]) for Container "main"')
    assert node.runtime.noted == ["start c1", "fail", "bye", "stop c1 7"]
    assert node.sink.said[-2:] == [
        "Warning FailedPostStartHook PostStartHook failed",
        "Normal Killing FailedPostStartHook",
    ]


async def test_nothing_starts_before_services_have_been_read_but_static_pods(node: Node) -> None:
    wanted = pod()
    problem = await node.start(wanted, None)
    why = "services have not yet been read at least once, cannot construct envvars"
    assert problem is not None and (problem.reason, str(problem)) == ("CreateContainerConfigError", why)
    assert node.sink.said == [f"Warning Failed Error: {why}"] and not node.runtime.noted
    wanted["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert await node.start(wanted, None) is None and node.runtime.noted == ["start c1"]


async def test_a_container_is_in_the_groups_of_its_pods_volumes(node: Node, tmp_path: Path) -> None:
    await node.start(pod(), {}, a=HostVolume(tmp_path), b=HostVolume(tmp_path, group=8))
    [made] = node.runtime.made
    assert made.linux.security_context.supplemental_groups == [8]


async def test_a_container_starts_with_what_its_config_map_says_now(node: Node) -> None:
    """As after `kubectl edit configmap` and `kubectl rollout restart`, however soon."""
    source = {"configMapKeyRef": {"name": "m", "key": "k"}}
    for value in ("old", "new"):
        node.api.data["k"] = value
        assert await node.start(pod(env=[{"name": "V", "valueFrom": source}]), {}) is None
        await node.clock.advance(0.1)
    values = [entry.value for made in node.runtime.made for entry in made.envs if entry.key == "V"]
    assert values == ["old", "new"]


class Crashing:
    """A pod whose containers end again and again."""

    def __init__(self, node: Node) -> None:
        calls: Any = node.runtime
        self.clock, self.runtime, self.waiting = ManualClock(), node.runtime, dict[str, Waiting]()
        recorder, status = Recorder(node.sink, "node"), StatusManager(None, lambda _: None, self.clock)
        self.starting = Starting(calls, Observer(calls), node.starter, status, recorder, CrashBackoff(self.clock))

    async def start(self, wanted: dict[str, Any], plan: Actions, *ids: str, killed: str = "") -> list[str]:
        """Which containers wait after a pass. ids: of the containers that there are, newest first, all ended.
        killed: which of them was ended by this pass."""
        containers = tuple(ContainerState(each, each[:-1], State.EXITED) for each in ids)
        state = PodState("u", "p", "n", (), containers)
        self.starting.note_ends(state)
        around = Surroundings("box", cri.PodSandboxConfig(), ("10.0.0.1",), {}, {}, (), NodeFacts("node"))
        await self.starting.start_all(wanted, state, plan, around, self.waiting, {*ids} - {killed})
        return sorted(self.waiting)


async def test_a_sidecar_that_has_to_wait_keeps_nobody_waiting(node: Node) -> None:
    crashing, wanted = Crashing(node), pod()
    wanted["spec"]["initContainers"] = [{"name": "side", "image": "busybox", "restartPolicy": "Always"}]
    plan = Actions(start_init=["side"], start=["main"])
    assert await crashing.start(wanted, plan, "side1", "main1") == []
    await crashing.clock.advance(15)
    node.runtime.made.clear()
    assert await crashing.start(wanted, Actions(start_init=["side"]), "side2", "side1") == ["side"]
    assert await crashing.start(wanted, plan, "side2", "side1", "main1") == ["side"]
    assert [made.metadata.name for made in node.runtime.made] == ["main"]
    del wanted["spec"]["initContainers"][0]["restartPolicy"]
    await crashing.start(wanted, plan, "side2", "side1", "main1")
    assert len(node.runtime.made) == 1, "an init container has to come first"


async def test_who_waits_is_told_in_the_log(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else tells of a pod while the API server is the one that does not start."""
    crashing, wanted, plan = Crashing(node), pod(), Actions(start=["main"])
    await crashing.start(wanted, plan, "main1")
    assert caplog.messages == []
    await crashing.start(wanted, plan, "main2", "main1")
    name, key = pods.describe(wanted), f"{wanted['metadata']['namespace']}/{wanted['metadata']['name']}"
    why = f"back-off 10s restarting failed container=main pod={name}"
    quoted = json.dumps(f'failed to "StartContainer" for "main" with CrashLoopBackOff: "{why}"')
    uid = wanted["metadata"]["uid"]
    assert caplog.messages == [f'"Error syncing pod, skipping" err={quoted} pod="{key}" podUID="{uid}"']


async def test_what_fails_its_probe_starts_again_at_once_unless_it_just_did(node: Node) -> None:
    """Upstream counts the wait from the end of the container before the one that is ended now."""
    crashing, wanted, plan = Crashing(node), pod(), Actions(start=["main"])
    ids: list[str] = []
    waits = []
    for life in range(6):
        await crashing.clock.advance(35)
        ids.insert(0, f"main{life}")
        waits.append(await crashing.start(wanted, plan, *ids, killed=f"main{life}"))
    assert waits == [[], [], [], [], ["main"], ["main"]]
