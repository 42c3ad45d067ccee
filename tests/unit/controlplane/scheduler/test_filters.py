"""Each filter's verdict on one node, with upstream's reasons."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta.labels import Selector
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.decision import decide
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import Labels, PodInfo
from controlplane.scheduler.snapshot import Snapshot, snapshot_of
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod

Object = dict[str, Any]
FRAMEWORK = make_framework()


def reasons(candidate: Object, nodes: list[Object], running: list[Object], on: str) -> tuple[str, ...]:
    snapshot = snapshot_of(nodes, running)
    return FRAMEWORK.judge(PodInfo(candidate), snapshot)(snapshot.by_name[on]).reasons


def tolerate(**fields: Any) -> list[Object]:
    return [fields]


def node_affinity(*expressions: Object, fields: list[Object] | None = None) -> Object:
    term: Object = {"matchExpressions": list(expressions)}
    if fields:
        term = {"matchFields": fields}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def pod_terms(kind: str, key: str = "kubernetes.io/hostname", **labels: str) -> Object:
    return {
        kind: {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": key, "labelSelector": {"matchLabels": labels}}
            ]
        }
    }


CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
AFFINITY_REASON = "node(s) didn't match Pod's node affinity/selector"
PORT = {"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}
WITH_PORT = pod("p", containers=[PORT])
ONE_NODE_CASES: list[tuple[str, Object, Object, list[Object], tuple[str, ...]]] = [
    ("fits", pod("p", cpu="1", memory="1Gi"), node("n"), [], ()),
    ("exact fit", pod("p", cpu="4"), node("n", cpu="4"), [], ()),
    ("cpu", pod("p", cpu="4001m"), node("n", cpu="4"), [], ("Insufficient cpu",)),
    ("cpu taken", pod("p", cpu="1"), node("n", cpu="1500m"), [pod("q", cpu="600m", on="n")], ("Insufficient cpu",)),
    (
        "both lacking",
        pod("p", cpu="5", memory="9Gi"),
        node("n"),
        [],
        ("Insufficient cpu", "Insufficient memory"),
    ),
    ("too many", pod("p"), node("n", pods="1"), [pod("q", on="n")], ("Too many pods",)),
    (
        "extended resource",
        pod("p", containers=[{"name": "c", "resources": {"requests": {"example.com/gpu": "2"}}}]),
        node("n", **{"example.com/gpu": "1"}),
        [],
        ("Insufficient example.com/gpu",),
    ),
    (
        "init container counts by maximum",
        pod(
            "p",
            cpu="1",
            initContainers=[
                {"name": "a", "resources": {"requests": {"cpu": "3"}}},
                {"name": "b", "resources": {"requests": {"cpu": "5"}}},
            ],
        ),
        node("n", cpu="4"),
        [],
        ("Insufficient cpu",),
    ),
    (
        "sidecar adds up",
        pod(
            "p",
            cpu="3",
            initContainers=[
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1500m"}}},
            ],
        ),
        node("n", cpu="4"),
        [],
        ("Insufficient cpu",),
    ),
    ("overhead adds up", pod("p", cpu="4", overhead={"cpu": "1m"}), node("n", cpu="4"), [], ("Insufficient cpu",)),
    ("a port of its start", WITH_PORT, node("n"), [pod("q", on="n", initContainers=[PORT])], ()),
    (
        "a sidecar's port",
        WITH_PORT,
        node("n"),
        [pod("q", on="n", initContainers=[{**PORT, "restartPolicy": "Always"}])],
        ("node(s) didn't have free ports for the requested pod ports",),
    ),
    ("cordoned", pod("p"), node("n", unschedulable=True), [], ("node(s) were unschedulable",)),
    (
        "cordon tolerated",
        pod("p", tolerations=tolerate(key="node.kubernetes.io/unschedulable", operator="Exists")),
        node("n", unschedulable=True),
        [],
        (),
    ),
    (
        "taint",
        pod("p"),
        node("n", taints=[CONTROL_PLANE]),
        [],
        ("node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }",),
    ),
    (
        "taint with value",
        pod("p", tolerations=tolerate(key="disk", value="hdd", effect="NoSchedule")),
        node("n", taints=[{"key": "disk", "value": "ssd", "effect": "NoSchedule"}]),
        [],
        ("node(s) had untolerated taint {disk: ssd}",),
    ),
    (
        "every taint tolerated",
        pod("p", tolerations=tolerate(operator="Exists")),
        node("n", taints=[CONTROL_PLANE]),
        [],
        (),
    ),
    ("soft taint is no filter", pod("p"), node("n", taints=[{"key": "a", "effect": "PreferNoSchedule"}]), [], ()),
    ("selector", pod("p", nodeSelector={"disk": "ssd"}), node("n"), [], (AFFINITY_REASON,)),
    ("selector matches", pod("p", nodeSelector={"disk": "ssd"}), node("n", labels={"disk": "ssd"}), [], ()),
    (
        "affinity Gt",
        pod("p", affinity=node_affinity({"key": "cores", "operator": "Gt", "values": ["8"]})),
        node("n", labels={"cores": "8"}),
        [],
        (AFFINITY_REASON,),
    ),
    (
        "affinity NotIn matches a missing label",
        pod("p", affinity=node_affinity({"key": "cores", "operator": "NotIn", "values": ["8"]})),
        node("n"),
        [],
        (),
    ),
    (
        "matchFields",
        pod("p", affinity=node_affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["m"]}])),
        node("n"),
        [],
        (AFFINITY_REASON,),
    ),
    (
        "host port",
        pod("p", containers=[{"name": "c", "ports": [{"hostPort": 80}]}]),
        node("n"),
        [pod("q", on="n", containers=[{"name": "c", "ports": [{"hostPort": 80, "hostIP": "10.0.0.1"}]}])],
        ("node(s) didn't have free ports for the requested pod ports",),
    ),
    (
        "host port of another protocol",
        pod("p", containers=[{"name": "c", "ports": [{"hostPort": 80}]}]),
        node("n"),
        [pod("q", on="n", containers=[{"name": "c", "ports": [{"hostPort": 80, "protocol": "UDP"}]}])],
        (),
    ),
    ("other node named", pod("p", on="m"), node("n"), [], ("node(s) didn't match the requested node name",)),
    (
        "anti-affinity",
        pod("p", affinity=pod_terms("podAntiAffinity", app="web")),
        node("n"),
        [pod("q", on="n", labels={"app": "web"})],
        ("node(s) didn't match pod anti-affinity rules",),
    ),
    (
        "anti-affinity is symmetric",
        pod("p", labels={"app": "web"}),
        node("n"),
        [pod("q", on="n", affinity=pod_terms("podAntiAffinity", app="web"))],
        ("node(s) didn't satisfy existing pods anti-affinity rules",),
    ),
    (
        "anti-affinity of another namespace",
        pod("p", affinity=pod_terms("podAntiAffinity", app="web")),
        node("n"),
        [pod("q", on="n", namespace="other", labels={"app": "web"})],
        (),
    ),
    (
        "affinity to nobody",
        pod("p", affinity=pod_terms("podAffinity", app="db")),
        node("n"),
        [],
        ("node(s) didn't match pod affinity rules",),
    ),
    (
        "first of its own group",
        pod("p", labels={"app": "db"}, affinity=pod_terms("podAffinity", app="db")),
        node("n"),
        [],
        (),
    ),
]


@pytest.mark.parametrize(
    ("candidate", "where", "running", "expected"),
    [case[1:] for case in ONE_NODE_CASES],
    ids=[c[0] for c in ONE_NODE_CASES],
)
def test_filter(candidate: Object, where: Object, running: list[Object], expected: tuple[str, ...]) -> None:
    assert reasons(candidate, [where], running, "n") == expected


class Namespaces:
    """Surroundings with labelled namespaces."""

    def namespace_labels(self) -> dict[str, Labels]:
        return {"default": {}, "red": {"team": "red"}, "blue": {"team": "blue"}}

    def owner_selector(self, pod: PodInfo) -> Selector | None:
        return None


def around(running: Object) -> Snapshot:
    cache = SchedulerCache(Namespaces())
    cache.set_node(node("n"))
    cache.set_pod(PodInfo(running), "n")
    return cache.snapshot()


@pytest.mark.parametrize(
    ("more", "where", "refused"),
    [
        pytest.param({}, "red", False, id="its own namespace only"),
        pytest.param({"namespaces": ["red"]}, "red", True, id="by name"),
        pytest.param({"namespaces": ["red"]}, "default", False, id="by name, not its own"),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "red"}}}, "red", True, id="by label"),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "red"}}}, "blue", False, id="by another label"),
        pytest.param({"namespaceSelector": {}}, "blue", True, id="all of them"),
    ],
)
def test_whose_pods_an_anti_affinity_concerns(more: Object, where: str, refused: bool) -> None:
    terms = pod_terms("podAntiAffinity", app="web")
    terms["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0] |= more
    theirs = pod("q", on="n", namespace=where, labels={"app": "web"})
    # Both ways: what comes keeps away from what runs, and what runs from what comes.
    there = around(theirs)
    assert bool(FRAMEWORK.judge(PodInfo(pod("p", affinity=terms)), there)(there.by_name["n"]).reasons) == refused
    here = around(pod("p", on="n", affinity=terms))
    comes = PodInfo(pod("q", namespace=where, labels={"app": "web"}))
    assert bool(FRAMEWORK.judge(comes, here)(here.by_name["n"]).reasons) == refused


def spread(max_skew: int = 1, key: str = "zone", **more: Any) -> list[Object]:
    return [
        {
            "maxSkew": max_skew,
            "topologyKey": key,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
            **more,
        }
    ]


ZONES = [node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"}), node("c")]
SKEWED = "node(s) didn't match pod topology spread constraints"


@pytest.mark.parametrize(
    ("running", "constraint", "expected"),
    [
        pytest.param([], spread(), {"a": (), "b": (), "c": (f"{SKEWED} (missing required label)",)}, id="empty"),
        pytest.param(["a"], spread(), {"a": (SKEWED,), "b": ()}, id="one ahead"),
        pytest.param(["a"], spread(2), {"a": (), "b": ()}, id="skew of two"),
        pytest.param(["a", "b"], spread(), {"a": (), "b": ()}, id="level"),
        pytest.param(["a", "a"], spread(labelSelector={}), {"a": (), "b": ()}, id="a selector of everything"),
        pytest.param(["a", "b"], spread(minDomains=3), {"a": (SKEWED,), "b": (SKEWED,)}, id="too few domains"),
    ],
)
def test_hard_topology_spread(running: list[str], constraint: list[Object], expected: dict[str, Any]) -> None:
    others = [pod(f"q{i}", on=where, labels={"app": "web"}) for i, where in enumerate(running)]
    candidate = pod("p", labels={"app": "web"}, topologySpreadConstraints=constraint)
    assert {name: reasons(candidate, ZONES, others, name) for name in expected} == expected


def test_topology_spread_counts_pods_with_the_same_values_of_its_keys() -> None:
    """matchLabelKeys: during a rolling update the new pods are spread by themselves."""
    old = [pod(f"q{i}", on="a", labels={"app": "web", "revision": "1"}) for i in range(2)]
    constraint = spread(matchLabelKeys=["revision", "not-of-the-pod"])
    for revision, refused in (("1", (SKEWED,)), ("2", ())):
        coming = pod("p", labels={"app": "web", "revision": revision}, topologySpreadConstraints=constraint)
        assert (reasons(coming, ZONES, old, "a"), reasons(coming, ZONES, old, "b")) == (refused, ())


@given(
    cpu=st.lists(st.integers(1, 2000), max_size=12),
    capacity=st.integers(500, 4000),
    wanted=st.integers(0, 2500),
    max_pods=st.integers(1, 12),
)
def test_a_chosen_node_is_never_overcommitted(cpu: list[int], capacity: int, wanted: int, max_pods: int) -> None:
    """The pod is placed if and only if its request fits beside what runs there."""
    running = [pod(f"q{i}", cpu=f"{amount}m", on="n") for i, amount in enumerate(cpu)]
    snapshot = snapshot_of([node("n", cpu=f"{capacity}m", pods=str(max_pods))], running)
    placed = decide(FRAMEWORK, PodInfo(pod("p", cpu=f"{wanted}m")), snapshot).node is not None
    # A pod that asks for no cpu fits a node whose cpu is overcommitted already, as upstream.
    assert placed == ((wanted == 0 or sum(cpu) + wanted <= capacity) and len(cpu) < max_pods)
