"""The kubelet's own admission: fit, place, ports, sysctls, preemption for critical pods."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from nodeagent.kubelet import pods
from nodeagent.kubelet.admission.gate import Admission, NodeFacts
from nodeagent.kubelet.admission.predicates import Refusal, Shortage, misplaced, shortages, wrong_system
from nodeagent.kubelet.admission.preemption import plan_preemption
from nodeagent.kubelet.admission.sysctls import forbidden_sysctl
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.status.compute import Verdict

NODE = {"cpu": 2000, "memory": 1 << 30, "ephemeral-storage": 10 << 30, "pods": 3, "example.com/dongle": 2}


def pod(name: str, requests: Mapping[str, str] | None = None, *, limits: Any = None, **spec: Any) -> Pod:
    resources = {"requests": dict(requests or {}), **({"limits": dict(limits)} if limits else {})}
    container = {"name": "c", "resources": resources, "ports": spec.pop("ports", [])}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [container], **spec},
    }


def static(name: str, **spec: Any) -> Pod:
    made = pod(name, **spec)
    made["metadata"]["annotations"] = {pods.CONFIG_SOURCE: "file"}
    return made


@pytest.mark.parametrize(
    ("asked", "others", "expected"),
    [
        pytest.param(pod("a", {"cpu": "2"}), [], [], id="fits exactly"),
        pytest.param(
            pod("a", {"cpu": "1500m", "memory": "1Gi"}),
            [pod("b", {"cpu": "600m", "memory": "1Mi"})],
            [Shortage("cpu", 1500, 600, 2000), Shortage("memory", 1 << 30, 1 << 20, 1 << 30)],
            id="cpu and memory",
        ),
        pytest.param(pod("a"), [pod("b"), pod("c"), pod("d")], [Shortage("pods", 1, 3, 3)], id="too many pods"),
        pytest.param(
            pod("a", {"example.com/dongle": "2"}),
            [pod("b", {"example.com/dongle": "1"})],
            [Shortage("example.com/dongle", 2, 1, 2)],
            id="extended resource",
        ),
        pytest.param(pod("a", {"example.com/other": "2"}), [], [], id="one that no node has is a cluster's"),
        pytest.param(pod("a"), [pod("b", {"cpu": "9"})], [], id="who asks for nothing is not refused"),
    ],
)
def test_shortages(asked: Pod, others: list[Pod], expected: list[Shortage]) -> None:
    assert shortages(asked, others, NODE) == expected


def test_the_refusal_for_want_of_something_is_upstreams() -> None:
    assert Shortage("cpu", 1500, 600, 2000).refusal() == Refusal(
        "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000"
    )


LABELLED = {
    "metadata": {"labels": {"disk": "ssd"}},
    "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}, {"key": "busy", "effect": "NoSchedule"}]},
}
TOLERANT: dict[str, Any] = {"tolerations": [{"key": "gone", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("asked", "others", "reason"),
    [
        pytest.param(pod("a", **TOLERANT), [], None, id="fits"),
        pytest.param(pod("a", nodeSelector={"disk": "hdd"}, **TOLERANT), [], "NodeAffinity", id="selector"),
        pytest.param(pod("a", nodeName="other", **TOLERANT), [], "NodeName", id="name"),
        pytest.param(pod("a"), [], "TaintToleration", id="NoExecute taint"),
        pytest.param(static("a"), [], None, id="taints are not for static pods"),
        pytest.param(
            pod("a", ports=[{"hostPort": 80}], **TOLERANT),
            [pod("b", ports=[{"hostPort": 80, "hostIP": "10.0.0.1"}])],
            "NodePorts",
            id="port everywhere against one address",
        ),
        pytest.param(
            pod("a", ports=[{"hostPort": 80, "hostIP": "10.0.0.2"}], **TOLERANT),
            [pod("b", ports=[{"hostPort": 80, "hostIP": "10.0.0.1"}])],
            None,
            id="two addresses",
        ),
        pytest.param(
            pod("a", ports=[{"hostPort": 80, "protocol": "UDP"}], **TOLERANT),
            [pod("b", ports=[{"hostPort": 80}])],
            None,
            id="two protocols",
        ),
    ],
)
def test_places(asked: Pod, others: list[Pod], reason: str | None) -> None:
    found = misplaced(asked, "node", LABELLED, others)
    assert (found.reason if found else None) == reason
    if reason == "NodeAffinity":
        assert found is not None
        assert found.message == "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"


def test_other_systems_are_refused() -> None:
    windows = pod("w", os={"name": "windows"})
    assert wrong_system(windows) == Refusal(
        "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    )
    labelled = pod("w")
    labelled["metadata"]["labels"] = {"kubernetes.io/os": "windows"}
    found = wrong_system(labelled)
    assert found is not None and found.reason == "PodOSSelectorNodeLabelDoesNotMatch"
    assert wrong_system(pod("l", os={"name": "linux"})) is None


@pytest.mark.parametrize(
    ("name", "spec", "allowed", "why"),
    [
        ("net.ipv4.tcp_syncookies", {}, (), None),
        ("net/ipv4/tcp_syncookies", {}, (), None),
        ("net.ipv4.tcp_syncookies", {"hostNetwork": True}, (), "not allowed with host Net enabled"),
        ("kernel.shm_rmid_forced", {"hostIPC": True}, (), "not allowed with host IPC enabled"),
        ("kernel.msgmax", {}, (), "not allowlisted"),
        ("kernel.msgmax", {}, ("kernel.msg*",), None),
        ("net.core.somaxconn", {}, ("net.core.somaxconn",), None),
        ("net.core.somaxconnx", {}, ("net.core.somaxconn",), "not allowlisted"),
        ("net/ipv4/conf/eno2.100/rp_filter", {}, ("net.ipv4.conf.eno2/100.rp_filter",), None),
    ],
)
def test_sysctls(name: str, spec: dict[str, Any], allowed: tuple[str, ...], why: str | None) -> None:
    asked = pod("p", securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)
    found = forbidden_sysctl(asked, allowed)
    if why is None:
        assert found is None
    else:
        assert found is not None and found.reason == "SysctlForbidden"
        assert found.message.startswith('forbidden sysctl: "') and found.message.endswith(f'" {why}')


CRITICAL = {"priority": 2_000_000_000}


def test_preemption_takes_the_least() -> None:
    same = {"cpu": "500m", "memory": "64Mi"}
    active = [
        pod("guaranteed", same, limits=same),
        pod("burstable", {"cpu": "500m"}),
        pod("big", {"cpu": "900m"}),
        pod("besteffort"),
        pod("peer", {"cpu": "900m"}, **CRITICAL),
    ]
    critical = pod("critical", {"cpu": "1"}, **CRITICAL)

    def doomed(*short: Shortage) -> list[str] | None:
        found = plan_preemption(critical, active, short)
        return None if found is None else [other["metadata"]["name"] for other in found]

    assert doomed(Shortage("cpu", 1000, 1500, 2000)) == ["burstable"], "the smaller of those that suffice"
    assert doomed(Shortage("cpu", 1000, 1700, 2000)) == ["big"], "one rather than two"
    assert doomed(Shortage("pods", 1, 5, 5)) == ["besteffort"]
    assert doomed(Shortage("cpu", 1000, 2400, 2000)) == ["big", "burstable"]
    assert doomed(Shortage("cpu", 1000, 2900, 2000)) == ["big", "burstable", "guaranteed"]
    assert doomed(Shortage("cpu", 1000, 3900, 2000)) is None, "the other critical pod stays"


class _Events:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def event(
        self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "", **more: Any
    ) -> None:
        self.said.append((obj["metadata"]["name"], reason, message))


class _Node:
    def __init__(self, *present: Pod, labels: Mapping[str, str] | None = None, tainted: bool = False) -> None:
        self.present, self.events, self.ended = list(present), _Events(), []
        self.labels, self.asked = dict(labels or {}), 0
        self.known = {"spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}} if tainted else {}
        facts = NodeFacts("node", lambda: NODE, lambda: self.known, self._fresh)
        self.admission = Admission(facts, lambda: self.present, self._end, (), (), Recorder(self.events, "node"))

    async def _fresh(self) -> Mapping[str, Any]:
        self.asked += 1
        return {"metadata": {"labels": self.labels}}

    async def _end(self, doomed: Pod, verdict: Verdict) -> None:
        await asyncio.sleep(0)
        self.present.remove(doomed)
        self.ended.append((doomed["metadata"]["name"], verdict))


async def test_a_refused_pod_fails_with_upstreams_words() -> None:
    node = _Node()
    verdict = await node.admission.admit(pod("a", {"cpu": "3"}))
    text = "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"
    assert verdict == Verdict("OutOfcpu", f"Pod was rejected: {text}", refused=True)
    assert node.events.said == [("a", "OutOfcpu", text)]


async def test_labels_are_asked_for_again_before_a_pod_is_refused_for_them() -> None:
    node = _Node(labels={"disk": "ssd"})
    assert await node.admission.admit(pod("a", nodeSelector={"disk": "ssd"})) is None and node.asked == 1
    verdict = await node.admission.admit(pod("b", nodeSelector={"disk": "hdd"}))
    assert verdict is not None and verdict.reason == "NodeAffinity"
    assert await node.admission.admit(pod("c")) is None and node.asked == 2, "and only then"


async def test_a_critical_pod_takes_the_place_of_others_but_not_their_ports() -> None:
    lesser = pod("lesser", {"cpu": "2"}, ports=[{"hostPort": 80}])
    node = _Node(lesser)
    blocked = await node.admission.admit(pod("critical", {"cpu": "1"}, ports=[{"hostPort": 80}], **CRITICAL))
    assert blocked is not None and blocked.reason == "NodePorts" and node.ended == []
    assert await node.admission.admit(pod("critical", {"cpu": "1"}, **CRITICAL)) is None
    [(name, verdict)] = node.ended
    assert name == "lesser" and verdict.reason == "Preempting"
    assert verdict.message == "Preempted in order to admit critical pod"
    assert verdict.conditions[0]["message"] == "Pod was preempted by Kubelet to accommodate a critical pod."
    nothing = await _Node(lesser).admission.admit(pod("hopeless", {"cpu": "9"}, **CRITICAL))
    assert nothing is not None and nothing.reason == "UnexpectedAdmissionError"
    assert nothing.message.endswith("no set of running pods found to reclaim resources: [(res: cpu, q: 7000), ]")


async def test_a_pod_does_not_stand_in_its_own_way() -> None:
    restarted = pod("a", {"cpu": "2"})
    assert await _Node(restarted).admission.admit(restarted) is None


async def test_a_taint_is_looked_at_again_before_a_pod_is_refused_for_it() -> None:
    node = _Node(tainted=True)
    assert await node.admission.admit(pod("a")) is None and node.asked == 1
    assert await node.admission.admit(pod("b", tolerations=[{"operator": "Exists"}])) is None and node.asked == 1
