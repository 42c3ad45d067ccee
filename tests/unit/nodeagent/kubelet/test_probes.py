"""Which probes are asked when, and what their answers make of a container."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import RuntimeTimeout, RuntimeUnreachable
from nodeagent.kubelet.probes.check import Answer, check
from nodeagent.kubelet.probes.manager import ProbeManager
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State


class Runtime:
    """Answers a probe by its command's word: `failing` ones fail; nothing is answered while it is `away`."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.away = False
        self.asked: Counter[str] = Counter()

    async def exec_sync(self, _container: str, command: Sequence[str], _timeout: float) -> cri.ExecSyncResponse:
        [word] = command
        self.asked[word] += 1
        if self.away:
            raise RuntimeUnreachable("ExecSync", "UNAVAILABLE", "away")
        return cri.ExecSyncResponse(exit_code=int(word in self.failing))


class Sink:
    """The messages of events, in the order of first occurrence."""

    def __init__(self) -> None:
        self.said: dict[str, None] = {}

    def event(
        self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "", **more: Any
    ) -> None:
        self.said[f"{reason} {field_path} {message}"] = None


class Node:
    """A pod `p` with a container and a sidecar, both with all probes, once a second; `shown` is what the API has."""

    def __init__(self) -> None:
        self.runtime, self.clock = Runtime(), ManualClock()
        self.shown: dict[str, dict[str, Any]] = {}
        self.changed: list[str] = []
        self.events = Sink()
        self.main, self.side = self._container("main"), {**self._container("side"), "restartPolicy": "Always"}
        self.pod = {
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [self.main], "initContainers": [self.side]},
        }
        self.states = {name: ContainerState(name, name, State.RUNNING) for name in ("main", "side")}
        runtime: Any = self.runtime
        recorder = Recorder(self.events, "node")
        self.probes = ProbeManager(runtime, recorder, self.clock, self.changed.append, lambda: "192.0.2.1", self._shown)

    def sync(self) -> None:
        self.probes.sync(self.pod, PodState("u", "p", "n", (), tuple(self.states.values())))

    async def seconds(self, many: int) -> Counter[str]:
        """What is asked in that time."""
        self.runtime.asked.clear()
        await self.clock.advance(many)
        return +self.runtime.asked

    def verdicts(self) -> dict[str, tuple[bool, bool]]:
        """(started, ready) by container."""
        return {
            spec["name"]: (
                self.probes.is_started(spec, self.states[spec["name"]]),
                self.probes.is_ready(spec, self.states[spec["name"]]),
            )
            for spec in (self.main, self.side)
        }

    def _shown(self, _uid: str, container_id: str) -> Mapping[str, Any]:
        return self.shown.get(container_id.removeprefix("containerd://"), {})

    def _container(self, name: str) -> dict[str, Any]:
        probes = {
            f"{kind}Probe": {"exec": {"command": [f"{name}-{kind}"]}, "periodSeconds": 1, "failureThreshold": 2}
            for kind in ("startup", "readiness", "liveness")
        }
        return {"name": name, "image": "busybox", **probes}


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    yield made
    await made.probes.stop()


BOTH = {"main": (True, True), "side": (True, True)}


async def test_a_container_is_asked_whether_it_has_started_and_then_whether_it_is_ready_and_alive(node: Node) -> None:
    node.runtime.failing = {"main-startup"}
    node.sync()
    asked = await node.seconds(1)
    assert asked["main-startup"] == 2 and not asked["main-readiness"] + asked["main-liveness"]
    assert node.verdicts() == {"main": (False, False), "side": (True, True)}


async def test_the_initial_delay_counts_from_the_containers_start(node: Node) -> None:
    """A container that took longer to start is asked at once whether it is ready."""
    node.main["startupProbe"]["failureThreshold"] = 100
    for kind in ("readiness", "liveness"):
        node.main[f"{kind}Probe"]["initialDelaySeconds"] = 10
    node.states["main"] = replace(node.states["main"], started_at=node.clock.now())
    node.runtime.failing = {"main-startup"}
    node.sync()
    assert not (await node.seconds(15))["main-readiness"]
    node.runtime.failing.clear()
    asked = await node.seconds(1)
    assert asked["main-readiness"] and asked["main-liveness"] and node.verdicts()["main"] == (True, True)


async def test_a_command_that_takes_too_long_is_told_as_go_quotes_it(node: Node) -> None:
    class Slow(Runtime):
        async def exec_sync(self, _container: str, command: Sequence[str], _timeout: float) -> cri.ExecSyncResponse:
            raise RuntimeTimeout("ExecSync", "DEADLINE_EXCEEDED", "late")

    slow: Any = Slow()
    answer = await check(slow, {"exec": {"command": ["sh", "-c", 'test "$A"']}}, {"name": "main"}, "main", "")
    assert answer == Answer(False, r'command "sh -c test \"$A\"" timed out')


async def test_of_an_ending_pod_only_readiness_is_asked(node: Node) -> None:
    node.sync()
    await node.seconds(1)
    assert node.verdicts() == BOTH
    node.probes.stop_for_termination("u")
    for _ in range(2):
        # No matter how often somebody looks, and whether the pod is being deleted or ended by its node.
        node.sync()
        assert node.verdicts() == BOTH
        assert set(await node.seconds(3)) == {"main-readiness", "side-readiness"}

    node.changed.clear()
    node.runtime.failing = {"main-readiness", "main-liveness", "side-liveness"}
    await node.seconds(2)
    assert node.verdicts() == {"main": (True, False), "side": (True, True)} and node.changed == ["u"]
    node.runtime.failing.clear()
    await node.seconds(1)
    assert node.verdicts() == BOTH and node.changed == ["u", "u"]

    node.states = {name: ContainerState(name, name, State.EXITED) for name in node.states}
    node.sync()
    assert not await node.seconds(3)


async def test_what_had_not_started_when_its_pod_was_ended_never_starts(node: Node) -> None:
    node.runtime.failing = {"main-startup"}
    node.sync()
    await node.seconds(0)
    node.probes.stop_for_termination("u")
    node.sync()
    node.runtime.failing.clear()
    assert set(await node.seconds(3)) == {"side-readiness"} and node.verdicts()["main"] == (False, False)


@pytest.mark.parametrize("ending", [False, True])
async def test_a_restarted_agent_believes_the_api_until_the_probes_have_spoken(node: Node, ending: bool) -> None:
    node.shown = {"main": {"started": True, "ready": True}, "side": {"started": True, "ready": False}}
    if ending:
        node.probes.stop_for_termination("u")
    node.sync()
    assert node.verdicts() == {"main": (True, True), "side": (True, False)}
    node.runtime.failing = {"main-readiness"}
    asked = await node.seconds(1)
    assert node.verdicts() == {"main": (True, False), "side": (True, True)}
    words = ["readiness"] if ending else ["readiness", "startup", "liveness"]
    assert set(asked) == {f"{name}-{word}" for name in ("main", "side") for word in words}


async def test_a_probe_that_could_not_be_carried_out_says_nothing_of_the_container(node: Node) -> None:
    node.sync()
    await node.seconds(1)
    node.changed.clear()
    node.runtime.away = True
    asked = await node.seconds(4)
    assert asked["main-liveness"] == 3 * 4, "three tries a period"
    assert node.verdicts() == BOTH and node.probes.view.liveness("main") is True and not node.changed
    error = "probe errored and resulted in unknown state: rpc error: code = Unavailable desc = away"
    places = ("spec.containers{main}", "spec.initContainers{side}")
    assert set(node.events.said) == {
        f"Unhealthy {at} {kind} {error}" for at in places for kind in ("Liveness", "Readiness")
    }
    node.runtime.away, node.runtime.failing = False, {"main-liveness"}
    await node.seconds(1)
    assert node.probes.view.liveness("main") is True, "one failure is not two"
    await node.seconds(1)
    assert node.probes.view.liveness("main") is False
    assert "Unhealthy spec.containers{main} Liveness probe failed: " in node.events.said


async def test_the_command_of_a_probe_names_variables_with_values(node: Node) -> None:
    env = [{"name": "A", "value": "a"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    runtime: Any = node.runtime
    probe = {"exec": {"command": ["$(A)-$(B)-$(C)-$$(A)"]}}
    assert (await check(runtime, probe, {"name": "main", "env": env}, "main", "")).passed
    assert set(node.runtime.asked) == {"a--$(C)-$(A)"}


async def test_a_port_that_there_is_not_is_nobodys_failure(node: Node) -> None:
    runtime: Any = node.runtime
    answer = await check(runtime, {"tcpSocket": {"port": "web"}}, {"name": "main"}, "main", "127.0.0.1")
    assert answer == Answer(False, 'strconv.Atoi: parsing "web": invalid syntax', unknown=True)


async def test_a_pod_that_has_ended_is_forgotten(node: Node) -> None:
    node.sync()
    await node.seconds(1)
    node.probes.stop_for_termination("u")
    node.probes.remove("u")
    assert not await node.seconds(3)
    assert node.verdicts() == {"main": (False, False), "side": (False, False)}
