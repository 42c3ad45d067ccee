"""The phase, the conditions and the container statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nodeagent.kubelet.runtime.state import ContainerState, PodState, SandboxState, State
from nodeagent.kubelet.status.compute import Verdict, compute_status, has_ended
from nodeagent.kubelet.status.containers import ContainerView, Waiting
from nodeagent.kubelet.status.manager import render_patch

NOW = datetime(2025, 1, 1, tzinfo=UTC)
BOX = SandboxState("box", 0, True, ips=("10.0.0.1",))


def pod(*names: str, policy: str = "Always", init: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": [{"name": name, "image": "busybox"} for name in names],
            "initContainers": [{"name": name, "image": "busybox"} for name in init],
            "restartPolicy": policy,
        },
    }


def container(name: str, state: State, code: int = 0, n: int = 0, **more: Any) -> ContainerState:
    ended = NOW if state is State.EXITED else None
    return ContainerState(
        f"{name}{n}",
        name,
        state,
        "busybox",
        "sha256:1",
        NOW,
        NOW,
        ended,
        code,
        restart_count=n,
        sandbox_id="box",
        **more,
    )


def status(
    wanted: dict[str, Any],
    *containers: ContainerState,
    waiting: dict[str, Waiting] | None = None,
    previous: dict[str, Any] | None = None,
    recursive: bool = False,
    users: bool = False,
    **more: Any,
) -> dict[str, Any]:
    view = ContainerView(waiting or {}, lambda _c, _s: True, lambda _c, _s: True, recursive, users)
    state = PodState("u", "p", "n", (BOX,), containers)
    return compute_status(wanted, state, view, previous=previous or {}, host_ips=["192.0.2.1"], now=NOW, **more)


R, E, C = State.RUNNING, State.EXITED, State.CREATED

PHASES = {
    "running": (pod("a"), [container("a", R)], False, "Running"),
    "nothing yet": (pod("a"), [], False, "Pending"),
    "one of two": (pod("a", "b"), [container("a", R)], False, "Pending"),
    "crashed, always": (pod("a"), [container("a", E, 1)], False, "Running"),
    "done, never": (pod("a", policy="Never"), [container("a", E)], False, "Succeeded"),
    "failed, never": (pod("a", policy="Never"), [container("a", E, 1)], False, "Failed"),
    "init without memory, never": (
        pod("a", policy="Never", init=("i",)),
        [container("i", E, reason="OOMKilled")],
        False,
        "Failed",
    ),
    "one failed, one runs": (
        pod("a", "b", policy="Never"),
        [container("a", E, 1), container("b", R)],
        False,
        "Running",
    ),
    "failed, on failure": (pod("a", policy="OnFailure"), [container("a", E, 1)], False, "Running"),
    "done, on failure": (pod("a", policy="OnFailure"), [container("a", E)], False, "Succeeded"),
    "init runs": (pod("a", init=("i",)), [container("i", R)], False, "Pending"),
    "init failed, never": (pod("a", policy="Never", init=("i",)), [container("i", E, 1)], False, "Failed"),
    "init failed, always": (pod("a", init=("i",)), [container("i", E, 1)], False, "Pending"),
    "ended by us, killed": (pod("a"), [container("a", E, 137)], True, "Failed"),
    "ended by us, clean": (pod("a"), [container("a", E, 0)], True, "Succeeded"),
}


@pytest.mark.parametrize("name", PHASES)
def test_phase(name: str) -> None:
    wanted, containers, terminal, phase = PHASES[name]
    assert status(wanted, *containers, terminal=terminal)["phase"] == phase


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in found["conditions"]}


def test_a_running_pod_is_ready_and_has_its_addresses() -> None:
    found = status(pod("a"), container("a", R))
    assert set(conditions(found).values()) == {("True", "")}
    assert (found["podIP"], found["podIPs"], found["hostIP"]) == ("10.0.0.1", [{"ip": "10.0.0.1"}], "192.0.2.1")
    assert found["containerStatuses"][0]["state"] == {"running": {"startedAt": "2025-01-01T00:00:00Z"}}


def test_a_pod_before_its_containers_says_why() -> None:
    found = status(pod("a", init=("i",)))
    assert conditions(found)["Initialized"] == ("False", "ContainersNotInitialized")
    assert conditions(found)["Ready"] == ("False", "ContainersNotReady")
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    plain = status(pod("a"))["containerStatuses"][0]
    assert plain["state"] == {"waiting": {"reason": "ContainerCreating"}} and plain["restartCount"] == 0


def test_statuses_are_listed_by_name_and_named_in_the_order_of_the_spec() -> None:
    wanted = pod("web", "agent", init=("second", "first"))
    wanted["spec"]["ephemeralContainers"] = [{"name": "z", "image": "busybox"}, {"name": "y", "image": "busybox"}]
    found = status(wanted)
    shown = {key: [each["name"] for each in found[key]] for key in found if key.endswith("Statuses")}
    assert shown == {
        "containerStatuses": ["agent", "web"],
        "initContainerStatuses": ["second", "first"],
        "ephemeralContainerStatuses": ["y", "z"],
    }
    ready = next(condition for condition in found["conditions"] if condition["type"] == "Ready")
    assert ready["message"] == "containers with unready status: [web agent]"


def test_back_off_shows_waiting_with_the_last_end() -> None:
    found = status(pod("a"), container("a", E, 3, 2), waiting={"a": Waiting("CrashLoopBackOff", "back-off 20s")})
    shown = found["containerStatuses"][0]
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
    assert shown["lastState"]["terminated"]["exitCode"] == 3 and shown["restartCount"] == 2 and not shown["ready"]


def test_a_stale_start_problem_does_not_hide_a_running_container() -> None:
    found = status(pod("a"), container("a", R), waiting={"a": Waiting("ErrImagePull", "x")})
    assert "running" in found["containerStatuses"][0]["state"]


def test_the_end_before_a_restart_is_the_last_state() -> None:
    shown = status(pod("a"), container("a", R, 0, 1), container("a", E, 9, 0))["containerStatuses"][0]
    assert shown["lastState"]["terminated"]["exitCode"] == 9 and shown["restartCount"] == 1


def test_what_the_runtime_has_lost_stays_as_it_was() -> None:
    first = status(pod("a", policy="Never"), container("a", E, 4))
    again = status(pod("a", policy="Never"), previous=first)
    assert again["containerStatuses"] == first["containerStatuses"] and again["phase"] == "Failed"


def test_a_running_container_that_vanished_is_reported_as_lost() -> None:
    first = status(pod("a"), container("a", R))
    shown = status(pod("a"), previous=first)["containerStatuses"][0]
    lost = shown["lastState"]["terminated"]
    assert lost["reason"] == "ContainerStatusUnknown" and shown["restartCount"] == 1
    assert lost["message"].endswith("when the pod was deleted.  The container used to be Running")


def ends(found: dict[str, Any], key: str = "containerStatuses") -> list[Any]:
    """What is shown of each container: its exit code and the reason of its end, or why it waits."""
    return [
        (state["terminated"]["exitCode"], state["terminated"].get("reason"))
        if "terminated" in (state := each["state"])
        else state["waiting"]["reason"]
        for each in found[key]
    ]


UNKNOWN = (137, "ContainerStatusUnknown")


def test_a_container_that_never_started_has_failed_when_its_pod_is_ended() -> None:
    wanted, why = pod("a", "b", policy="Never"), {"b": Waiting("ImagePullBackOff", "x")}
    before = status(wanted, container("a", R), waiting=why)
    found = status(wanted, container("a", E), waiting=why, previous=before, terminal=True)
    assert (found["phase"], ends(found)) == ("Failed", [(0, None), UNKNOWN])
    late = Verdict("DeadlineExceeded", "too long")
    assert ends(status(pod("a"), waiting={"a": Waiting("ErrImagePull")}, verdict=late)) == [UNKNOWN]
    lost = status(pod("a"), previous=status(pod("a"), container("a", R)), terminal=True)
    assert (
        ends(lost) == [UNKNOWN]
        and "used to be Running" in lost["containerStatuses"][0]["lastState"]["terminated"]["message"]
    )


@pytest.mark.parametrize(
    ("containers", "init", "regular"),
    [
        ([], [UNKNOWN, "PodInitializing"], ["PodInitializing"]),
        ([container("i", E, 1)], [(1, None), "PodInitializing"], ["PodInitializing"]),
        ([container("i", E), container("j", C)], [(0, None), "ContainerCreating"], ["PodInitializing"]),
        ([container("i", E), container("j", E)], [(0, None), (0, None)], [UNKNOWN]),
        ([container("a", E, 3)], [UNKNOWN, "PodInitializing"], [(3, None)]),
    ],
    ids=["nothing ran", "the first failed", "the second was made", "all passed", "forgotten"],
)
def test_containers_whose_turn_had_not_come_keep_waiting(containers: Any, init: Any, regular: Any) -> None:
    wanted = pod("a", policy="Never", init=("i", "j"))
    previous: dict[str, Any] = {"phase": "Pending", "containerStatuses": [{"name": "a", "state": {"waiting": {}}}]}
    found = status(wanted, *containers, previous=previous, terminal=True)
    assert (ends(found, "initContainerStatuses"), ends(found)) == (init, regular)
    again = status(wanted, *containers, previous=found, terminal=True)
    assert again == found, "told twice, it is the same"


def test_a_pod_whose_last_sidecar_ran_had_its_regular_containers_turn() -> None:
    wanted = with_sidecar()
    before = status(wanted, container("side", R), waiting={"a": Waiting("ErrImagePull")})
    assert ends(status(wanted, container("side", E, 137), previous=before, terminal=True)) == [UNKNOWN]


def test_what_vanishes_of_a_deleted_pod_is_no_restart() -> None:
    wanted = pod("a")
    before = status(wanted, container("a", R))
    wanted["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert status(wanted, previous=before)["containerStatuses"][0]["restartCount"] == 0


def test_the_last_words_of_all_containers_are_12_kib_at_the_most() -> None:
    words = "ä" * 2048
    lone = status(pod("a"), container("a", E, 1, message=words))["containerStatuses"]
    assert lone[0]["state"]["terminated"]["message"] == words
    ends = [container(name, E, 1, message=words) for name in "abcdi"]
    found = status(pod(*"abcd", init=("i",)), *ends, container("a", E, 1, 1, message=words))
    shown = [each["state"]["terminated"]["message"] for each in found["containerStatuses"]]
    assert {*shown, found["initContainerStatuses"][0]["state"]["terminated"]["message"]} == {"ä" * 1228}, "2457 bytes"
    assert found["containerStatuses"][0]["lastState"]["terminated"]["message"] == "ä" * 1228


def test_a_verdict_fails_the_pod_once_nothing_of_it_runs() -> None:
    verdict = Verdict("DeadlineExceeded", "too long", ({"type": "DisruptionTarget", "status": "True"},))
    still = status(pod("a"), container("a", R), verdict=verdict)
    assert still["phase"] == "Running" and "reason" not in still
    found = status(pod("a"), container("a", E, 137), verdict=verdict)
    assert (found["phase"], found["reason"]) == ("Failed", "DeadlineExceeded")
    assert "DisruptionTarget" in {condition["type"] for condition in found["conditions"]}


def with_sidecar(*init: str, policy: str = "Never") -> dict[str, Any]:
    wanted = pod("a", policy=policy, init=(*init, "side"))
    wanted["spec"]["initContainers"][-1]["restartPolicy"] = "Always"
    return wanted


# What has run, and what the pod shows while its sidecar still runs, and when that has ended: phase, Initialized, Ready.
LATE_SIDECARS = {
    "done": (
        with_sidecar(),
        [container("a", E)],
        ("Running", "True", "ContainersNotReady"),
        ("Succeeded", "True", "PodCompleted"),
    ),
    "failed": (
        with_sidecar(),
        [container("a", E, 1)],
        ("Running", "True", "ContainersNotReady"),
        ("Failed", "True", "PodFailed"),
    ),
    "done, on failure": (
        with_sidecar(policy="OnFailure"),
        [container("a", E)],
        ("Running", "True", "ContainersNotReady"),
        ("Succeeded", "True", "PodCompleted"),
    ),
    "failed before it began": (
        with_sidecar("i"),
        [container("i", E, 1)],
        ("Pending", "False", "ContainersNotReady"),
        ("Failed", "False", "PodFailed"),
    ),
}


@pytest.mark.parametrize("name", LATE_SIDECARS)
def test_a_pod_has_ended_for_others_when_its_sidecars_have(name: str) -> None:
    wanted, containers, late, last = LATE_SIDECARS[name]

    def shown(found: dict[str, Any]) -> tuple[str, str, str]:
        return found["phase"], conditions(found)["Initialized"][0], conditions(found)["Ready"][1]

    still = status(wanted, *containers, container("side", R))
    assert shown(still) == late and has_ended(wanted, still)
    assert shown(status(wanted, *containers, container("side", E, 137), previous=still, terminal=True)) == last
    assert not has_ended(wanted, status(wanted, container("side", R))), "it has only begun"


def test_a_pod_stays_initialized_while_its_sidecar_restarts() -> None:
    wanted = with_sidecar(policy="Always")
    again = status(wanted, container("a", R), container("side", E, 1))
    assert conditions(again)["Initialized"] == ("True", "")
    first = status(wanted, container("side", E, 1))
    assert conditions(first)["Initialized"] == ("False", "ContainersNotInitialized")


def test_a_refused_pod_has_nothing_but_its_refusal_to_show() -> None:
    found = status(pod("a"), verdict=Verdict("OutOfcpu", "Pod was rejected: …", refused=True))
    assert set(found) == {"phase", "reason", "message", "qosClass", "startTime", "conditions"}
    assert found["phase"] == "Failed" and found["conditions"] == []
    assert status(pod("a"), previous=found) == found, "nor after a restart of the kubelet"


def test_transition_times_move_only_with_the_status() -> None:
    first = status(pod("a"), container("a", R))
    for condition in first["conditions"]:
        condition["lastTransitionTime"] = "2024-01-01T00:00:00Z"
    again = {
        c["type"]: c["lastTransitionTime"] for c in status(pod("a"), container("a", E, 1), previous=first)["conditions"]
    }
    assert again["Initialized"] == "2024-01-01T00:00:00Z" and again["Ready"] == "2025-01-01T00:00:00Z"


def test_the_patch_leaves_others_conditions_alone_and_is_none_when_nothing_differs() -> None:
    found = status(pod("a"), container("a", R))
    gate = {"type": "example.com/gate", "status": "True"}
    target = {"metadata": {"uid": "u"}, "status": {**found, "conditions": [*found["conditions"], gate]}}
    assert render_patch(target, found) is None
    target["status"] = {**target["status"], "podIPs": [{"ip": "10.0.0.9"}], "podIP": "10.0.0.9"}
    patch = render_patch(target, found)
    assert patch == {
        "metadata": {"uid": "u"},
        "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"$patch": "replace"}]},
    }


def test_a_reason_that_no_longer_holds_is_taken_away() -> None:
    found = status(pod("a"), container("a", R))
    waiting = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [a]"}
    before = [waiting if each["type"] == "Ready" else each for each in found["conditions"]]
    patch = render_patch({"metadata": {"uid": "u"}, "status": {**found, "conditions": before}}, found)
    assert patch is not None
    (ready,) = patch["status"]["conditions"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", None, None)


def test_an_ephemeral_container_is_never_ready() -> None:
    wanted = pod("main")
    wanted["spec"]["ephemeralContainers"] = [{"name": "debugger", "image": "busybox"}]
    found = status(wanted, container("main", R), container("debugger", R))
    entry = found["ephemeralContainerStatuses"][0]
    assert "running" in entry["state"] and entry["ready"] is False and "started" not in entry
    assert found["containerStatuses"][0]["ready"] and found["phase"] == "Running"


@pytest.mark.parametrize(("recursive", "possible"), [(True, "Enabled"), (False, "Disabled")])
def test_how_volumes_are_mounted(recursive: bool, possible: str) -> None:
    modes: dict[str, dict[str, Any]] = {
        "/w": {},
        "/r": {"readOnly": True},
        "/p": {"readOnly": True, "recursiveReadOnly": "IfPossible"},
        "/odd": {"readOnly": True, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"},
    }
    wanted = pod("a", "b")
    mounts = [{"name": "v", "mountPath": path, **mode} for path, mode in modes.items()]
    wanted["spec"]["containers"][0]["volumeMounts"] = mounts
    for containers in ([], [container("a", R), container("b", R)]):
        first, second = status(wanted, *containers, recursive=recursive)["containerStatuses"]
        assert first["volumeMounts"] == [
            {"name": "v", "mountPath": "/w"},
            {"name": "v", "mountPath": "/r", "readOnly": True, "recursiveReadOnly": "Disabled"},
            {"name": "v", "mountPath": "/p", "readOnly": True, "recursiveReadOnly": possible},
            {"name": "v", "mountPath": "/odd", "readOnly": True, "recursiveReadOnly": "Disabled"},
        ]
        assert "volumeMounts" not in second


def test_users_are_shown_behind_their_gate() -> None:
    runs = [container("a", R, user=(7, 8, (8, 9))), container("b", R, user=(0, 0, ())), container("c", R)]
    first, second, third = status(pod("a", "b", "c"), *runs, users=True)["containerStatuses"]
    assert first["user"] == {"linux": {"uid": 7, "gid": 8, "supplementalGroups": [8, 9]}}
    assert second["user"] == {"linux": {"uid": 0, "gid": 0}} and "user" not in third
    assert not any("user" in each for each in status(pod("a", "b", "c"), *runs)["containerStatuses"])
