"""compute_actions: from a pod and the runtime's state to a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodeagent.kubelet import pods
from nodeagent.kubelet.actions import Actions, ProbeView, compute_actions
from nodeagent.kubelet.runtime.state import ContainerState, PodState, SandboxState, State

BOX = SandboxState("box", 0, True, ips=("10.0.0.1",))


def pod(
    containers: str = "a", init: str = "", sidecars: str = "", policy: str = "Always", **spec: Any
) -> dict[str, Any]:
    listed = [{"name": name, "image": "i"} for name in containers]
    first: list[dict[str, Any]] = []
    for name in init:
        first.append({"name": name, "image": "i", **({"restartPolicy": "Always"} if name in sidecars else {})})
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": listed, "initContainers": first, "restartPolicy": policy, **spec},
    }


def container(
    name: str, state: State = State.RUNNING, code: int = 0, *, box: str = "box", image: str = "i", n: int = 0
):
    digest = pods.container_hash({"name": name, "image": image})
    return ContainerState(f"{name}{n}", name, state, exit_code=code, sandbox_id=box, hash=digest, restart_count=n)


def state(*containers: ContainerState, boxes: tuple[SandboxState, ...] = (BOX,)) -> PodState:
    return PodState("u", "p", "n", boxes, containers)


EXITED, RUNNING, CREATED, UNKNOWN = State.EXITED, State.RUNNING, State.CREATED, State.UNKNOWN
GONE = SandboxState("box", 3, False)

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "nothing there": (
        pod("ab"),
        state(boxes=()),
        {"create_sandbox": True, "kill_pod": True, "attempt": 0, "start": ["a", "b"]},
    ),
    "init first": (pod("a", "ij"), state(boxes=()), {"create_sandbox": True, "kill_pod": True, "start_init": ["i"]}),
    "all runs": (pod("ab"), state(container("a"), container("b")), {}),
    "one died": (pod("ab"), state(container("a"), container("b", EXITED, 1)), {"start": ["b"]}),
    "one succeeded, always": (pod("ab"), state(container("a"), container("b", EXITED)), {"start": ["b"]}),
    "one succeeded, on failure": (pod("ab", policy="OnFailure"), state(container("a"), container("b", EXITED)), {}),
    "one failed, on failure": (
        pod("ab", policy="OnFailure"),
        state(container("a"), container("b", EXITED, 1)),
        {"start": ["b"]},
    ),
    "one failed, never": (pod("ab", policy="Never"), state(container("a"), container("b", EXITED, 1)), {}),
    "all done, never": (pod("a", policy="Never"), state(container("a", EXITED)), {"kill_pod": True}),
    "created and never started": (pod("ab"), state(container("a"), container("b", CREATED)), {"start": ["b"]}),
    "sandbox dead": (
        pod("a"),
        state(container("a", EXITED, 1), boxes=(GONE,)),
        {"kill_pod": True, "create_sandbox": True, "attempt": 4, "start": ["a"]},
    ),
    "sandbox dead, never": (
        pod("a", policy="Never"),
        state(container("a", EXITED, 1), boxes=(GONE,)),
        {"kill_pod": True},
    ),
    "sandbox dead, on failure, done": (
        pod("a", policy="OnFailure"),
        state(container("a", EXITED), boxes=(GONE,)),
        {"kill_pod": True},
    ),
    "sandbox without address": (
        pod("a"),
        state(container("a"), boxes=(SandboxState("box", 0, True),)),
        {"kill_pod": True, "create_sandbox": True, "attempt": 1, "start": ["a"]},
    ),
    "host network needs no address": (
        pod("a", hostNetwork=True),
        state(container("a"), boxes=(SandboxState("box", 0, True, host_network=True),)),
        {},
    ),
    "two ready sandboxes": (
        pod("a"),
        state(container("a"), boxes=(SandboxState("x", 1, True, ips=("1",)), BOX)),
        {"kill_pod": True, "create_sandbox": True, "attempt": 2, "start": ["a"]},
    ),
    "image changed": (pod("a"), state(container("a", image="old")), {"kill": ["a0"], "start": ["a"]}),
    "init runs": (pod("a", "i"), state(container("i")), {}),
    "init done, next init": (pod("a", "ij"), state(container("i", EXITED)), {"start_init": ["j"]}),
    "init all done": (pod("a", "ij"), state(container("j", EXITED), container("i", EXITED)), {"start": ["a"]}),
    "init done, the earlier one collected": (pod("a", "ij"), state(container("j", EXITED)), {"start": ["a"]}),
    "init failed": (pod("a", "ij"), state(container("i", EXITED, 1)), {"start_init": ["i"]}),
    "init failed, never": (pod("a", "ij", policy="Never"), state(container("i", EXITED, 1)), {"kill_pod": True}),
    "init of the old sandbox does not count": (
        pod("a", "i"),
        state(container("i", EXITED, box="old")),
        {"start_init": ["i"]},
    ),
    "init collected, main exited": (pod("a", "i"), state(container("a", EXITED, 1)), {"start": ["a"]}),
    "sidecar runs, next init": (pod("a", "si", "s"), state(container("s")), {"start_init": ["i"]}),
    "sidecar runs, last": (pod("a", "s", "s"), state(container("s")), {"start": ["a"]}),
    "sidecar died beside main": (
        pod("a", "s", "s"),
        state(container("a"), container("s", EXITED)),
        {"start_init": ["s"]},
    ),
    "sidecar died while a later init runs": (
        pod("a", "si", "s"),
        state(container("i"), container("s", EXITED, 1)),
        {"start_init": ["s"]},
    ),
    "sidecar with never still restarts": (
        pod("a", "s", "s", policy="Never"),
        state(container("a"), container("s", EXITED, 1)),
        {"start_init": ["s"]},
    ),
    "main done, sidecar must not keep the pod": (
        pod("a", "s", "s", policy="Never"),
        state(container("a", EXITED), container("s")),
        {"kill_pod": True},
    ),
    "init ended well, but something in it ran out of memory": (
        pod("a", "ij"),
        state(replace(container("i", EXITED), reason="OOMKilled")),
        {"start_init": ["i"]},
    ),
    "sidecar changed": (
        pod("a", "s", "s"),
        state(container("a"), container("s", image="old")),
        {"kill": ["s0"], "start_init": ["s"]},
    ),
    "unknown is killed and started": (
        pod("ab"),
        state(container("a"), container("b", UNKNOWN)),
        {"kill": ["b0"], "start": ["b"]},
    ),
    "ephemeral": (
        pod("a", ephemeralContainers=[{"name": "e", "image": "i"}]),
        state(container("a")),
        {"start_ephemeral": ["e"]},
    ),
    "ephemeral ended stays ended": (
        pod("a", ephemeralContainers=[{"name": "e", "image": "i"}]),
        state(container("a"), container("e", EXITED)),
        {},
    ),
}


def shown(plan: Actions) -> dict[str, Any]:
    full = {
        "kill_pod": plan.kill_pod,
        "create_sandbox": plan.create_sandbox,
        "attempt": plan.attempt,
        "start_init": plan.start_init,
        "start": plan.start,
        "start_ephemeral": plan.start_ephemeral,
        "kill": list(plan.kill),
    }
    if not plan.create_sandbox:
        del full["attempt"]
    return {key: value for key, value in full.items() if value}


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str) -> None:
    wanted, runtime, expected = CASES[name]
    assert shown(compute_actions(wanted, runtime)) == {key: value for key, value in expected.items() if value}


def test_a_failed_liveness_probe_kills_and_restarts() -> None:
    plan = compute_actions(pod("ab"), state(container("a"), container("b")), ProbeView(liveness=lambda c: c != "b0"))
    assert [kill.message for kill in plan.kill.values()] == ["Container b failed liveness probe, will be restarted"]
    assert plan.start == ["b"]


def test_a_failed_liveness_probe_kills_for_good_when_nothing_is_restarted() -> None:
    wanted = pod("ab", policy="Never")
    plan = compute_actions(wanted, state(container("a"), container("b")), ProbeView(liveness=lambda c: c != "b0"))
    assert list(plan.kill) == ["b0"] and plan.start == []


def test_a_sidecar_with_a_startup_probe_holds_back_the_next() -> None:
    wanted = pod("a", "si", "s")
    wanted["spec"]["initContainers"][0]["startupProbe"] = {"exec": {"command": ["x"]}}
    assert compute_actions(wanted, state(container("s"))).nothing
    assert compute_actions(wanted, state(container("s")), ProbeView(startup=lambda _: True)).start_init == ["i"]
    failed = compute_actions(wanted, state(container("s")), ProbeView(startup=lambda _: False))
    assert list(failed.kill) == ["s0"] and failed.start_init == ["s"]


def test_a_sidecars_liveness_holds_nobody_back() -> None:
    wanted, probes = pod("a", "si", "s"), ProbeView(liveness=lambda _: False)
    plan = compute_actions(wanted, state(container("s")), probes)
    assert list(plan.kill) == ["s0"] and plan.start_init == ["s", "i"]
    assert plan.kill["s0"].message == "Init container s failed liveness probe"
    wanted["spec"]["initContainers"][0]["startupProbe"] = {"exec": {"command": ["x"]}}
    assert compute_actions(wanted, state(container("s")), probes).nothing, "it has not started yet"


def test_nothing_is_restarted_in_a_pod_that_is_being_deleted() -> None:
    wanted = pod("ab")
    wanted["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert compute_actions(wanted, state(container("a"), container("b", EXITED, 1))).start == []


def test_a_sandbox_is_replaced_dead_or_alive_and_the_first_replaces_none() -> None:
    assert compute_actions(pod(), state(container("a", EXITED), boxes=(GONE,))).replaces_sandbox
    assert compute_actions(pod(), state(container("a"), boxes=(BOX, SandboxState("other", 1, True)))).replaces_sandbox
    assert not compute_actions(pod(), state(boxes=())).replaces_sandbox
    assert not compute_actions(pod(policy="Never"), state(container("a", EXITED))).replaces_sandbox
