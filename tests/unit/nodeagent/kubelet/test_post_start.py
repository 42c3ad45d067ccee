"""A container whose postStart hook fails is ended as any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.kill import Killer
from nodeagent.kubelet.runtime.start import Machine, Starter, StartProblem, Surroundings


class Runtime:
    """Notes what it is asked for. The command `fail` fails."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    async def create_container(self, *_: Any) -> str:
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


class Sink:
    def __init__(self) -> None:
        self.said: list[str] = []

    def event(self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.said.append(f"{type} {reason} {message}")


async def test_a_hook_that_fails_ends_the_container_with_its_own_last_hook(tmp_path: Path) -> None:
    runtime, images, sink, clock = Runtime(), Images(), Sink(), ManualClock()
    calls: Any = runtime
    stand_in: Any = images
    nothing: Any = None
    recorder = Recorder(sink, "node")
    starter = Starter(
        calls,
        stand_in,
        nothing,
        Paths(tmp_path / "kubelet", tmp_path / "pods", tmp_path / "containers"),
        recorder,
        clock,
        Machine(2**30, cgroup_v2=True, cluster_domain="c"),
        nothing,
        Killer(calls, clock, recorder),
    )
    hooks = {kind: {"exec": {"command": [word]}} for kind, word in (("postStart", "fail"), ("preStop", "bye"))}
    container = {"name": "main", "image": "busybox", "lifecycle": hooks}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 7},
    }
    (tmp_path / "kubelet" / "pods" / "u").mkdir(parents=True)
    around = Surroundings("box", cri.PodSandboxConfig(), ("10.0.0.1",), {}, {}, (), NodeFacts("node"))
    with pytest.raises(StartProblem, match=r"^Exec lifecycle hook \(\[fail\]\) for Container") as problem:
        await starter.start(pod, container, around, 0)
    assert problem.value.reason == "PostStartHookError"
    assert runtime.noted == ["start c1", "fail", "bye", "stop c1 7"]
    assert sink.said[-2:] == [
        "Warning FailedPostStartHook PostStartHook failed",
        "Normal Killing FailedPostStartHook",
    ]
