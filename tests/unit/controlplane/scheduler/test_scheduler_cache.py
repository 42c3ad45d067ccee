"""Assumed pods, immutable snapshots, sums that return to zero."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.decision import decide
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import snapshot_of
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod


def test_an_assumed_pod_counts_until_forgotten() -> None:
    cache = SchedulerCache()
    cache.set_node(node("a"))
    cache.assume(PodInfo(pod("p", cpu="1")), "a")
    assert cache.snapshot().by_name["a"].requested == {"cpu": 1000}
    cache.forget("uid-default-p")
    assert cache.snapshot().by_name["a"].requested == {"cpu": 0}


def test_a_confirmed_pod_is_not_forgotten() -> None:
    """A late failure of a binding that did happen must not lose the pod."""
    cache = SchedulerCache()
    cache.set_node(node("a"))
    candidate = PodInfo(pod("p", cpu="1"))
    cache.assume(candidate, "a")
    cache.set_pod(PodInfo(pod("p", cpu="1", on="a")), "a")
    cache.forget(candidate.uid)
    assert cache.place_of(candidate.uid) == "a"


def _bound(assumed: dict[str, Any], node: str, **metadata: Any) -> dict[str, Any]:
    """The pod as the API shows it after its binding."""
    return {
        **assumed,
        "metadata": {**assumed["metadata"], "resourceVersion": "2", **metadata},
        "spec": {**assumed["spec"], "nodeName": node},
    }


def test_a_confirmation_changes_nothing_that_was_found_out() -> None:
    cache = SchedulerCache()
    cache.set_node(node("a"))
    assumed = PodInfo(pod("p", cpu="1", affinity={"podAntiAffinity": {}, "podAffinity": {"x": []}}))
    cache.assume(assumed, "a")
    before = cache.snapshot()
    before.by_name["a"].counted["asked"] = 1
    confirmed = PodInfo(_bound(assumed.pod, "a"))
    cache.set_pod(confirmed, "a")
    assert cache.snapshot() is before and before.by_name["a"].counted == {"asked": 1}
    assert before.by_name["a"].pods[assumed.uid] is confirmed is before.by_name["a"].affinity_pods[assumed.uid]
    assert not cache.is_assumed(assumed.uid)
    cache.remove_pod(assumed.uid)
    after = cache.snapshot().by_name["a"]
    assert (after.requested, after.pods, after.affinity_pods, after.counted) == ({"cpu": 0}, {}, {}, {})


@pytest.mark.parametrize("news", [{"labels": {"app": "b"}}, {"deletionTimestamp": "2025-01-01T00:00:00Z"}])
def test_a_confirmation_that_tells_more_is_a_change(news: dict[str, Any]) -> None:
    cache = SchedulerCache()
    cache.set_node(node("a"))
    assumed = PodInfo(pod("p", cpu="1"))
    cache.assume(assumed, "a")
    before = cache.snapshot()
    before.by_name["a"].counted["asked"] = 1
    confirmed = PodInfo(_bound(assumed.pod, "a", **news))
    cache.set_pod(confirmed, "a")
    after = cache.snapshot().by_name["a"]
    assert after.pods[assumed.uid] is confirmed and after.counted == {}
    assert before.by_name["a"].pods[assumed.uid] is assumed
    assert not cache.is_assumed(assumed.uid)


def test_a_pod_that_asks_for_less_when_it_is_seen_bound_counts_with_that() -> None:
    cache = SchedulerCache()
    cache.set_node(node("a"))
    cache.assume(PodInfo(pod("p", cpu="2")), "a")
    cache.snapshot()
    cache.set_pod(PodInfo(pod("p", cpu="1", on="a")), "a")
    assert cache.snapshot().by_name["a"].requested == {"cpu": 1000}


def test_a_snapshot_does_not_change() -> None:
    cache = SchedulerCache()
    cache.set_node(node("a"))
    before = cache.snapshot()
    cache.assume(PodInfo(pod("p", cpu="1")), "a")
    cache.set_node(node("b"))
    assert [n.name for n in before.nodes] == ["a"]
    assert before.by_name["a"].pods == {}
    assert set(cache.snapshot().by_name) == {"a", "b"}


def test_pods_may_be_seen_before_their_node() -> None:
    cache = SchedulerCache()
    cache.set_pod(PodInfo(pod("p", cpu="1", on="a")), "a")
    assert len(cache.snapshot()) == 0
    cache.set_node(node("a"))
    assert cache.snapshot().by_name["a"].requested == {"cpu": 1000}
    cache.remove_node("a")
    assert len(cache.snapshot()) == 0
    cache.remove_pod("uid-default-p")
    assert cache.counts() == (0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=40))
def test_sums_follow_the_pods(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever comes and goes, each node's sums are those of its pods, in the live copy and in every snapshot."""
    cache = SchedulerCache()
    for name in "abc":
        cache.set_node(node(name))
    for where, number, present in steps:
        if present:
            cache.set_pod(PodInfo(pod(f"p{number}", cpu="250m", memory="1Mi")), where)
        else:
            cache.remove_pod(f"uid-default-p{number}")
        for info in cache.snapshot().nodes:
            assert info.requested.get("cpu", 0) == 250 * len(info.pods)
            assert info.requested.get("memory", 0) == 1024 * 1024 * len(info.pods)
    assert sum(len(info.pods) for info in cache.snapshot().nodes) == cache.counts()[1]


def test_what_nodes_remember_is_what_a_fresh_look_finds() -> None:
    """Pods of a few shapes come and go, nodes change: each decision is as one by rules that never saw these nodes."""
    rng = random.Random(7)
    framework, cache = make_framework(), SchedulerCache()
    nodes: dict[str, Any] = {}
    bound: dict[str, Any] = {}
    soft = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}
    shapes: list[dict[str, Any]] = [
        {"cpu": "500m"},
        {"cpu": "500m", "labels": {"app": "a"}},
        {"cpu": "1", "tolerations": [{"operator": "Exists"}]},
        {"memory": "1Gi", "nodeSelector": {"disk": "ssd"}},
        {"labels": {"app": "a"}, "topologySpreadConstraints": [{**soft, "whenUnsatisfiable": "ScheduleAnyway"}]},
        {"labels": {"app": "a"}, "topologySpreadConstraints": [{**soft, "whenUnsatisfiable": "DoNotSchedule"}]},
    ]
    chosen, awaited = 0, list[str]()
    for step in range(500):
        name = f"n{rng.randrange(6)}"
        match rng.randrange(6):
            case 0:
                taints = [{"key": "k", "effect": "NoSchedule"}] if rng.random() < 0.3 else []
                labels = {"disk": "ssd"} if rng.random() < 0.5 else {}
                nodes[name] = node(name, cpu=str(rng.randint(1, 8)), taints=taints, labels=labels)
                cache.set_node(nodes[name])
            case 1 if bound:
                gone = rng.choice(sorted(bound))
                del bound[gone]
                cache.remove_pod(f"uid-default-{gone}")
            case 2 if name in nodes and rng.random() < 0.1:
                del nodes[name]
                cache.remove_node(name)
            case 3 if awaited:
                seen = awaited.pop()
                if seen in bound:
                    metadata = bound[seen]["metadata"]
                    labels = {"app": rng.choice("ab")} if rng.random() < 0.3 else metadata["labels"]
                    bound[seen] = {**bound[seen], "metadata": {**metadata, "labels": labels}}
                    cache.set_pod(PodInfo(bound[seen]), bound[seen]["spec"]["nodeName"])
            case _:
                wanted = PodInfo(pod(f"p{step}", **rng.choice(shapes)))
                found = decide(framework, wanted, cache.snapshot())
                order = [each.name for each in cache.snapshot().nodes]
                fresh = snapshot_of([nodes[each] for each in order], bound.values())
                anew = decide(make_framework(), wanted, fresh)
                assert (found.node, found.refusals, found.scores) == (anew.node, anew.refusals, anew.scores)
                if found.node is not None:
                    chosen += 1
                    bound[wanted.name] = _bound(wanted.pod, found.node)
                    awaited.append(wanted.name)
                    cache.assume(wanted, found.node)
    assert chosen > 50
