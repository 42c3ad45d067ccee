"""Scores, the choice, sampling, and the sentences about pods that fit nowhere."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.decision import decide, feasible_nodes_to_find
from controlplane.scheduler.messages import NO_NODES, fit_error, truncated
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import snapshot_of
from tests.unit.controlplane.scheduler.objects_for_scheduling import OneService, explain, node, pod

Object = dict[str, Any]
FRAMEWORK = make_framework()


def test_three_replicas_spread_over_two_workers() -> None:
    """System default spreading: one node never gets all three (the journey of section 1 of the design)."""
    for seed in range(20):
        cache, rng = SchedulerCache(OneService()), random.Random(seed)
        for name in ("worker-1", "worker-2"):
            cache.set_node(node(name))
        cache.set_node(
            node("master-1", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
        )
        places = []
        for number in range(3):
            candidate = PodInfo(pod(f"web-{number}", labels={"app": "web"}))
            decision = decide(FRAMEWORK, candidate, cache.snapshot(), rng=rng)
            assert decision.node is not None
            cache.assume(candidate, decision.node)
            places.append(decision.node)
        assert sorted(Counter(places).values()) == [1, 2], places


SCORE_CASES: list[tuple[str, list[Object], list[Object], Object, str]] = [
    ("least allocated", [node("a"), node("b")], [pod("q", cpu="2", memory="4Gi", on="a")], pod("p", cpu="100m"), "b"),
    (
        "balanced: cpu-heavy pod goes where memory is used",
        [node("a"), node("b")],
        [pod("q", cpu="2", on="a"), pod("r", memory="4Gi", on="b")],
        pod("p", cpu="1500m"),
        "b",
    ),
    (
        "preferred node affinity",
        [node("a"), node("b", labels={"disk": "ssd"})],
        [],
        pod(
            "p",
            affinity={
                "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
                    ]
                }
            },
        ),
        "b",
    ),
    (
        "soft taint",
        [node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), node("b")],
        [],
        pod("p"),
        "b",
    ),
    (
        "image already there",
        [node("a"), node("b", images=[{"names": ["nginx:latest"], "sizeBytes": 900 * 1024 * 1024}])],
        [],
        pod("p"),
        "b",
    ),
    (
        "preferred pod affinity",
        [node("a"), node("b")],
        [pod("q", labels={"app": "db"}, on="b")],
        pod(
            "p",
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 100,
                            "podAffinityTerm": {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchLabels": {"app": "db"}},
                            },
                        }
                    ]
                }
            },
        ),
        "b",
    ),
    (
        "soft spread over zones",
        [node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"})],
        [pod("q", labels={"app": "web"}, on="a")],
        pod(
            "p",
            labels={"app": "web"},
            topologySpreadConstraints=[
                {
                    "maxSkew": 1,
                    "topologyKey": "zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app": "web"}},
                }
            ],
        ),
        "b",
    ),
]


@pytest.mark.parametrize(
    ("nodes", "running", "candidate", "winner"), [c[1:] for c in SCORE_CASES], ids=[c[0] for c in SCORE_CASES]
)
def test_best_node(nodes: list[Object], running: list[Object], candidate: Object, winner: str) -> None:
    """The better node wins whatever its place in the order."""
    for order in (nodes, nodes[::-1]):
        decision = decide(FRAMEWORK, PodInfo(candidate), snapshot_of(order, running))
        assert decision.node == winner, decision.scores


def test_least_allocated_score_is_upstreams_number() -> None:
    """4 cpu and 8 GiB, half used after placement: (50 + 50) / 2; balanced shares: 100."""
    snapshot = snapshot_of([node("a"), node("b")], [])
    scores = FRAMEWORK.score(PodInfo(pod("p", cpu="2", memory="4Gi")), snapshot, snapshot.nodes)
    assert scores.of("a")["NodeResourcesFit"] == 50
    assert scores.of("a")["NodeResourcesBalancedAllocation"] == 100


def test_a_node_that_holds_the_image_scores_by_its_size_and_spread() -> None:
    """500 MiB on one node of two count as 250; of the range from 23 to 1000 MiB that is 23 hundredths."""
    images = [{"names": ["nginx:latest"], "sizeBytes": 500 << 20}]
    snapshot = snapshot_of([node("a", images=images), node("b")], [])
    scores = FRAMEWORK.score(PodInfo(pod("p")), snapshot, snapshot.nodes)
    assert scores.of("a")["ImageLocality"] == 23
    assert scores.of("b").get("ImageLocality", 0) == 0
    everywhere = snapshot_of([node(name, images=images) for name in "ab"], [])
    assert FRAMEWORK.score(PodInfo(pod("p")), everywhere, everywhere.nodes).of("b")["ImageLocality"] == 48


@pytest.mark.parametrize(
    ("total", "expected"), [(0, 0), (3, 3), (99, 99), (100, 100), (1000, 420), (5000, 500), (10000, 500)]
)
def test_adaptive_sampling(total: int, expected: int) -> None:
    """Upstream's numFeasibleNodesToFind."""
    assert feasible_nodes_to_find(total) == expected


def test_sampling_visits_every_node_in_turn() -> None:
    snapshot = snapshot_of([node(f"n{i}") for i in range(1000)], [])
    seen: set[str] = set()
    start = 0
    for _ in range(3):
        decision = decide(FRAMEWORK, PodInfo(pod("p")), snapshot, start=start)
        assert decision.evaluated == 420
        seen.update(decision.scores.nodes)
        start += decision.evaluated
    assert len(seen) == 1000


def test_fit_error_reads_as_upstreams() -> None:
    master = node("master", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
    busy = [pod(f"q{i}", cpu="3", on=f"w{i}") for i in range(2)]
    assert explain(pod("p", cpu="2"), [master, node("w0"), node("w1")], busy) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
        "2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, "
        "2 No preemption victims found for incoming pod."
    )


def test_fit_error_without_nodes() -> None:
    assert fit_error(0, {}, "") == NO_NODES


def test_fit_error_where_an_extender_says_nothing() -> None:
    assert fit_error(1, {}, "why not.") == "0/1 nodes are available: preemption: why not."


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1020 + " ..."),
        ("é" * 512 + ".", "é" * 510 + " ..."),
        ("xé" + "é" * 512, "x" + "é" * 509 + " ..."),
    ],
    ids=["fits", "too long", "bytes count", "no half letter"],
)
def test_an_event_says_as_much_as_it_may(message: str, event: str) -> None:
    assert truncated(message) == event


def test_pod_that_names_its_nodes_looks_at_no_other() -> None:
    """DaemonSet pods: the search is as long as the list of names."""
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n7"]}]},
                ]
            }
        }
    }
    snapshot = snapshot_of([node(f"n{i}") for i in range(500)], [])
    decision = decide(FRAMEWORK, PodInfo(pod("p", affinity=affinity)), snapshot)
    assert (decision.node, decision.evaluated) == ("n7", 1)


def test_a_pod_whose_terms_contradict_themselves_can_go_nowhere() -> None:
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in "ab"]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    assert explain(pod("p", affinity=affinity), [node("a"), node("b")], []) == (
        "0/2 nodes are available: pod affinity terms conflict. "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )


def test_the_node_where_room_was_made_is_taken_though_another_is_better() -> None:
    snapshot = snapshot_of([node("a"), node("b")], [pod("q", cpu="2", on="a")])
    candidate = pod("p", cpu="1", priority=10)
    assert decide(FRAMEWORK, PodInfo(candidate), snapshot).node == "b"
    candidate["status"]["nominatedNodeName"] = "a"
    decision = decide(FRAMEWORK, PodInfo(candidate), snapshot)
    assert (decision.node, decision.evaluated) == ("a", 0)
    full = snapshot_of([node("a"), node("b")], [pod("q", cpu="4", on="a")])
    assert decide(FRAMEWORK, PodInfo(candidate), full).node == "b"
    candidate["status"]["nominatedNodeName"] = "gone"
    assert decide(FRAMEWORK, PodInfo(candidate), snapshot).node == "b"


def test_room_made_for_a_nominated_pod_is_kept_for_it() -> None:
    snapshot = snapshot_of([node("a", cpu="2")], [])
    waiting = PodInfo(pod("first", cpu="2", priority=10))
    later = PodInfo(pod("later", cpu="1", priority=1))
    assert decide(FRAMEWORK, later, snapshot, nominated={"a": [waiting]}).node is None
    assert decide(FRAMEWORK, later, snapshot).node == "a"
    higher = PodInfo(pod("higher", cpu="1", priority=11))
    assert decide(FRAMEWORK, higher, snapshot, nominated={"a": [waiting]}).node == "a"
