"""Pods bound to a node that cannot take them: refused by the kubelet itself, with upstream's words; room is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet import faults
from tests.netns.kubelet.agent import busybox, eventually
from tests.netns.kubelet.faults import Node, pod


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with faults.node("adm", maxPods=4) as made:
        yield made


@pytest.fixture(autouse=True)
def _empty(node: Node) -> Iterator[None]:
    yield
    node.delete_all()
    node.settles(0)


def asking(**requests: str) -> dict[str, Any]:
    return {"resources": {"requests": requests}}


def ended(node: Node, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = node.cluster.pod(name)["status"]
        return status if status.get("phase") == "Failed" else None

    found = eventually(look, f"the refusal of {name}")
    assert found is not None
    return found


def test_what_does_not_fit_is_refused_and_disturbs_nobody(node: Node) -> None:
    sysctls = {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}
    node.cluster.apply(pod("good", container={"ports": [{"containerPort": 80, "hostPort": 30080}]}))
    node.all_running(["good"])
    node.cluster.apply(
        pod("cpu", container=asking(cpu="999")),
        pod("selector", nodeSelector={"disk": "none"}),
        pod("port", container={"ports": [{"containerPort": 81, "hostPort": 30080}]}),
        pod("sysctl", **sysctls),
    )
    capacity = node.cluster.get("node", "node")["status"]["allocatable"]["cpu"]
    short = f"Node didn't have enough resource: cpu, requested: 999000, used: 0, capacity: {int(capacity) * 1000}"
    expected = {
        "cpu": ("OutOfcpu", short),
        "selector": _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"),
        "port": _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"),
        "sysctl": ("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
    }
    for name, (reason, text) in expected.items():
        status = ended(node, name)
        assert (status["reason"], status["message"]) == (reason, f"Pod was rejected: {text}")
        assert "containerStatuses" not in status
        eventually(lambda name=name, reason=reason: reason in node.cluster.events(name), reason)
    node.settles(1)
    assert faults.restarts(node.pods()["good"]) == 0


def test_a_critical_pod_takes_the_place_of_another(node: Node) -> None:
    names = [f"plain-{n}" for n in range(4)]
    node.create(names)
    node.all_running(names)
    node.cluster.apply(pod("one-more"))
    refused = ended(node, "one-more")
    assert (refused["reason"], refused["message"]) == (
        "OutOfpods",
        "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 4, capacity: 4",
    )
    critical = node.kubelet.static("critical", {"containers": [busybox(faults.IDLE)]})
    node.kubelet.running(critical)

    def preempted() -> list[str]:
        return [name for name in names if node.cluster.pod(name)["status"].get("reason") == "Preempting"]

    gone = eventually(preempted, "a pod that had to go")
    assert len(gone) == 1, "one pod had to go"
    status = node.cluster.pod(gone[0])["status"]
    assert (status["phase"], status["message"]) == ("Failed", "Preempted in order to admit critical pod")
    assert "DisruptionTarget" in {condition["type"] for condition in status["conditions"]}
    node.kubelet.remove_static("critical")
    eventually(lambda: critical not in node.pods(), "the end of the mirror")


def _predicate(name: str, why: str) -> tuple[str, str]:
    return name, f"Predicate {name} failed: {why}"
