"""What `kubelab why pod` says: complete, and never a suggestion that does not help."""

from __future__ import annotations

import random
from typing import Any

import pytest

from controlplane.scheduler.decision import decide
from controlplane.scheduler.explain.report import Report, explain
from controlplane.scheduler.explain.show import document, lines
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot, snapshot_of
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod

FRAMEWORK = make_framework()
SSD = {"key": "disk", "value": "ssd", "effect": "NoSchedule"}
NAMED_N, NAMED_M = ({"key": "metadata.name", "operator": "In", "values": [name]} for name in "nm")
LABELS = {"app": "a"}
AFFINITY_TERM = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": LABELS}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def report(wanted: dict[str, Any], nodes: list[Any], pods: list[Any] = []) -> tuple[Report, Snapshot]:  # noqa: B006
    snapshot = snapshot_of(nodes, pods)
    return explain(FRAMEWORK, PodInfo(wanted), snapshot), snapshot


def text(wanted: dict[str, Any], nodes: list[Any], pods: list[Any] = []) -> str:  # noqa: B006
    found, snapshot = report(wanted, nodes, pods)
    return "\n".join(lines(PodInfo(wanted), found, snapshot, FRAMEWORK))


def asking(resource: str) -> dict[str, Any]:
    wanted = pod("p")
    wanted["spec"]["containers"][0]["resources"]["requests"][resource] = "1"
    return wanted


def test_every_refusal_of_every_node_is_told_with_its_numbers() -> None:
    nodes = [node("one", cpu="1", taints=[SSD]), node("two", cpu="2")]
    shown = text(pod("p", cpu="3", nodeSelector={"zone": "b"}), nodes, [pod("q", cpu="1500m", on="two")])
    assert [line.split(maxsplit=1) for line in shown.splitlines() if "Plugin" not in line][3:9] == [
        ["NODE", "REFUSED BY         REASON"],
        ["one", "TaintToleration    node(s) had untolerated taint {disk: ssd}"],
        ["NodeAffinity", "node(s) didn't match Pod's node affinity/selector"],
        ["NodeResourcesFit", "Insufficient cpu: 1 free of 1"],
        ["two", "NodeAffinity       node(s) didn't match Pod's node affinity/selector"],
        ["NodeResourcesFit", "Insufficient cpu: 500m free of 2"],
    ]
    assert "It would fit two if two had the label zone=b and cpu request ≤ 500m (it asks 3)." in shown
    assert "kubectl label node two zone=b" in shown


def test_scores_are_numbers_by_plugin_and_the_winner_is_marked() -> None:
    shown = text(pod("p", cpu="1"), [node("big", cpu="8"), node("small", cpu="2")])
    rows = [line.split() for line in shown.splitlines()]
    assert rows[3][:3] == ["NODE", "SCORE", "NodeResourcesFit"]
    assert rows[4][0] == "big*"
    assert rows[5][0] == "small"
    assert shown.endswith("big has the highest score.")


@pytest.mark.parametrize(
    ("wanted", "nodes", "pods", "words"),
    [
        pytest.param(
            pod("p"), [node("n", unschedulable=True)], [], "It would fit n if n were schedulable.", id="cordoned"
        ),
        pytest.param(
            pod("p"), [node("n", taints=[SSD])], [], "It would fit n if it tolerated disk=ssd:NoSchedule.", id="taint"
        ),
        pytest.param(
            pod("p", memory="3Gi"),
            [node("n", memory="2Gi")],
            [pod("q", memory="1Gi", on="n")],
            "It would fit n if memory request ≤ 1Gi (it asks 3Gi).",
            id="memory",
        ),
        pytest.param(
            pod("p"),
            [node("n", pods="1")],
            [pod("q", on="n")],
            "It would fit n if n allowed 2 pods (it allows 1).",
            id="too-many-pods",
        ),
        pytest.param(
            pod("p", labels=LABELS, affinity={"podAntiAffinity": {REQUIRED: [AFFINITY_TERM]}}),
            [node("n")],
            [pod("q", labels=LABELS, on="n")],
            "It would fit n if its pod anti-affinity were preferred, not required.",
            id="anti-affinity",
        ),
        pytest.param(
            pod("p", labels=LABELS),
            [node("n")],
            [pod("q", on="n", affinity={"podAntiAffinity": {REQUIRED: [AFFINITY_TERM]}})],
            "No change of the pod or of one node that we know of would let it in.",
            id="others-do-not-want-it",
        ),
        pytest.param(pod("p"), [], [], "There is no node.", id="no-node"),
        pytest.param(
            asking("example.com/gpu"),
            [node("n")],
            [],
            "It would fit n if it asked for no example.com/gpu (it asks 1).",
            id="no-such-device",
        ),
        pytest.param(
            pod(
                "p", affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": [NAMED_N, NAMED_M]}]}}}
            ),
            [node("n"), node("tainted", taints=[SSD])],
            [],
            "It is no matter of nodes: pod affinity terms conflict.",
            id="nowhere",
        ),
    ],
)
def test_the_smallest_change(wanted: Any, nodes: Any, pods: Any, words: str) -> None:
    assert words in text(wanted, nodes, pods).splitlines()


def test_among_equals_the_smallest_cut_is_told() -> None:
    found, _ = report(
        pod("p", cpu="4"), [node("far", cpu="1"), node("near", cpu="3500m"), node("tainted", taints=[SSD], cpu="3900m")]
    )
    assert found.suggestion is not None
    assert found.suggestion.node == "near"


def _random_case(source: random.Random) -> tuple[dict[str, Any], list[Any], list[Any]]:
    nodes = [
        node(
            f"n{index}",
            cpu=f"{source.randint(200, 4000)}m",
            memory=f"{source.randint(100, 8000)}Mi",
            pods=str(source.randint(1, 5)),
            labels={"zone": source.choice("ab"), **({"disk": "ssd"} if source.random() < 0.4 else {})},
            taints=[SSD] if source.random() < 0.5 else [],
            unschedulable=source.random() < 0.3,
        )
        for index in range(source.randint(1, 4))
    ]
    pods = [
        pod(
            f"q{index}",
            cpu=f"{source.randint(0, 900)}m",
            memory=f"{source.randint(0, 900)}Mi",
            labels=LABELS,
            on=source.choice(nodes)["metadata"]["name"],
        )
        for index in range(source.randint(0, 6))
    ]
    spec: dict[str, Any] = {}
    if source.random() < 0.5:
        spec["nodeSelector"] = {"disk": "ssd", "zone": source.choice("abc")}
    if source.random() < 0.4:
        spec["affinity"] = {"podAntiAffinity": {REQUIRED: [AFFINITY_TERM]}}
    if source.random() < 0.4:
        spec["topologySpreadConstraints"] = [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
             "labelSelector": {"matchLabels": LABELS}}
        ]  # fmt: skip
    wanted = pod("p", cpu=f"{source.randint(100, 6000)}m", memory=f"{source.randint(1, 9000)}Mi", labels=LABELS, **spec)
    wanted["spec"]["containers"].append({**wanted["spec"]["containers"][0], "name": "second"})
    return wanted, nodes, pods


def test_a_suggestion_that_is_applied_lets_the_pod_in() -> None:
    """200 pods that fit nowhere: the scheduler itself decides about each after the change."""
    source, tried = random.Random(6), 0
    while tried < 200:
        wanted, nodes, pods = _random_case(source)
        found, snapshot = report(wanted, nodes, pods)
        assert bool(found.best) == (decide(FRAMEWORK, PodInfo(wanted), snapshot).node is not None)
        if found.suggestion is None:
            assert found.best or all(each.refusals for each in found.nodes)
            continue
        tried += 1
        changed, place = PodInfo(wanted), snapshot.by_name[found.suggestion.node]
        for change in found.suggestion.changes:
            changed, place = change.applied(changed, place)
        assert decide(FRAMEWORK, changed, snapshot.replacing(place)).node == place.name, document(
            PodInfo(wanted), found
        )


def test_nothing_is_changed_by_asking() -> None:
    wanted, nodes = pod("p", cpu="3", nodeSelector={"a": "b"}), [node("n", cpu="1", taints=[SSD])]
    before = repr((wanted, nodes))
    report(wanted, nodes)
    assert repr((wanted, nodes)) == before
