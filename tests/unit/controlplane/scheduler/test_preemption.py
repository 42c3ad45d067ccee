"""Whom preemption evicts, where, and why nobody."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from controlplane.scheduler.budgets import violating
from controlplane.scheduler.decision import decide
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.preemption import plan_preemption
from controlplane.scheduler.snapshot import snapshot_of
from controlplane.scheduler.watching import scheduling_facts
from tests.unit.controlplane.scheduler.objects_for_scheduling import explain, node, pod

Object = dict[str, Any]
FRAMEWORK = make_framework()


def test_preemption_takes_the_least_harm() -> None:
    """One victim of the lowest priority, though the other node would do as well."""
    running = [
        pod("small", cpu="2", on="a", priority=5),
        pod("middle", cpu="2", on="a", priority=7),
        pod("large", cpu="4", on="b", priority=9),
    ]
    snapshot = snapshot_of([node("a"), node("b")], running)
    candidate = PodInfo(pod("p", cpu="2", priority=10))
    refusals = decide(FRAMEWORK, candidate, snapshot).refusals
    victims = plan_preemption(FRAMEWORK, candidate, snapshot, refusals).victims
    assert victims is not None
    assert (victims.node, [p.name for p in victims.pods]) == ("a", ["small"])


def test_where_evictions_would_not_suffice_the_filter_says_why() -> None:
    running = [pod("low", cpu="1", on="a"), pod("equal", cpu="3", on="a", priority=10)]
    assert explain(pod("p", cpu="2", priority=10), [node("a")], running) == (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu."
    )


def test_preemption_leaves_the_room_that_was_made_for_another() -> None:
    """The first has evicted one of two and waits for it to end; the second needs the other as well."""
    snapshot = snapshot_of([node("a")], [pod(name, cpu="2", on="a") for name in ("q1", "q2")])
    first, second = (PodInfo(pod(name, cpu="2", priority=10)) for name in ("first", "second"))
    nominated = {"a": [first]}
    refusals = decide(FRAMEWORK, second, snapshot, nominated=nominated).refusals
    victims = plan_preemption(FRAMEWORK, second, snapshot, refusals, nominated=nominated).victims
    assert victims is not None
    assert {victim.name for victim in victims.pods} == {"q1", "q2"}


def test_a_node_without_a_word_is_not_preempted_on() -> None:
    """An extender left it out and did not say why."""
    snapshot = snapshot_of([node("a")], [pod("low", cpu="4", on="a")])
    preemption = plan_preemption(FRAMEWORK, PodInfo(pod("p", cpu="2", priority=10)), snapshot, {})
    assert preemption.message == "0/1 nodes are available: 1 Preemption is not helpful for scheduling."


def _leaving(reason: str) -> Object:
    going = pod("low", cpu="4", on="a")
    going["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    going["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": reason}]
    return scheduling_facts(going)


@pytest.mark.parametrize(
    ("reason", "cordoned", "waits"),
    [
        pytest.param("PreemptionByScheduler", False, True, id="its own victim"),
        pytest.param("EvictionByEvictionAPI", False, False, id="goes for another reason"),
        pytest.param("PreemptionByScheduler", True, False, id="the node takes nobody any more"),
    ],
)
def test_who_has_evicted_waits_for_the_victims_to_end(reason: str, cordoned: bool, waits: bool) -> None:
    nodes = [node("a", unschedulable=cordoned), node("b")]
    running = [_leaving(reason), pod("other", cpu="4", on="b", priority=1)]
    candidate = pod("p", cpu="2", priority=10)
    candidate["status"]["nominatedNodeName"] = "a"
    snapshot, info = snapshot_of(nodes, running), PodInfo(candidate)
    preemption = plan_preemption(FRAMEWORK, info, snapshot, decide(FRAMEWORK, info, snapshot).refusals)
    assert (preemption.victims is None) == waits
    assert preemption.message == ("not eligible due to a terminating pod on the nominated node." if waits else "")


def test_preemption_never() -> None:
    running = [pod("low", cpu="4", on="a")]
    candidate = pod("p", cpu="2", priority=10, preemptionPolicy="Never")
    assert explain(candidate, [node("a")], running).endswith("preemption: not eligible due to preemptionPolicy=Never.")


def _budget(allowed: int, disrupted: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "guarded"}}},
        "status": {"disruptionsAllowed": allowed, "disruptedPods": dict.fromkeys(disrupted, "t")},
    }


def _victims(budgets: list[dict[str, Any]]) -> tuple[str, set[str], int]:
    """Of a pod that needs one of two pods gone on `a` (guarded), or two of two on `b` (not)."""
    guarded = [pod(f"g{n}", cpu="2", priority=1, on="a", labels={"app": "guarded"}) for n in (1, 2)]
    free = [pod(f"f{n}", cpu="1", priority=1, on="b") for n in (1, 2)]
    snapshot = snapshot_of([node("a", cpu="4"), node("b", cpu="2")], [*guarded, *free])
    candidate = PodInfo(pod("p", cpu="2", priority=10))
    refusals = decide(FRAMEWORK, candidate, snapshot).refusals
    victims = plan_preemption(FRAMEWORK, candidate, snapshot, refusals, partial(violating, budgets)).victims
    assert victims is not None
    return victims.node, {each.name for each in victims.pods}, victims.violations


def test_preemption_goes_where_no_budget_is_broken() -> None:
    assert _victims([])[:2] == ("a", {"g2"})
    assert _victims([_budget(1)])[0] == "a"
    assert _victims([_budget(0)]) == ("b", {"f1", "f2"}, 0)


def test_preemption_spares_those_whose_turn_would_break_a_budget() -> None:
    """One may go: the first in the order of importance; the second would be one too many, and is spared."""
    assert _victims([_budget(1)]) == ("a", {"g1"}, 0)


def test_victims_are_told_by_importance_whether_or_not_a_budget_guards_them() -> None:
    running = [pod("guarded", cpu="2", priority=1, on="a", labels={"app": "guarded"})]
    running += [pod("free", cpu="2", priority=5, on="a")]
    snapshot, candidate = snapshot_of([node("a")], running), PodInfo(pod("p", cpu="4", priority=10))
    refusals = decide(FRAMEWORK, candidate, snapshot).refusals
    victims = plan_preemption(FRAMEWORK, candidate, snapshot, refusals, partial(violating, [_budget(0)])).victims
    assert victims is not None
    assert ([each.name for each in victims.pods], victims.violations) == (["free", "guarded"], 1)


def test_preemption_does_not_count_again_who_is_being_evicted() -> None:
    pods = [PodInfo(pod(f"g{n}", labels={"app": "guarded"})) for n in (1, 2)]
    assert violating([_budget(1)], pods) == {pods[1].uid}
    assert violating([_budget(1, disrupted=("g1",))], pods) == frozenset()
    assert violating([{**_budget(0), "spec": {"selector": {}}}], pods) == frozenset()


def test_preemption_breaks_a_budget_where_nothing_else_helps() -> None:
    snapshot = snapshot_of([node("a", cpu="2")], [pod("g", cpu="2", priority=1, on="a", labels={"app": "guarded"})])
    candidate = PodInfo(pod("p", cpu="2", priority=10))
    refusals = decide(FRAMEWORK, candidate, snapshot).refusals
    victims = plan_preemption(FRAMEWORK, candidate, snapshot, refusals, partial(violating, [_budget(0)])).victims
    assert victims is not None
    assert (victims.node, victims.violations) == ("a", 1)
