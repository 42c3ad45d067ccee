"""The three parts of the queue, on a clock that moves by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.framework import Change, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.nominator import Nominator
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.queue import QueuedPod, SchedulingQueue
from controlplane.scheduler.watching import Watching
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod

FRAMEWORK = make_framework()


def make_queue(clock: ManualClock) -> SchedulingQueue:
    return SchedulingQueue(clock, FRAMEWORK.may_help)


async def pop_now(queue: SchedulingQueue) -> QueuedPod | None:
    """The next pod if there is one now, without letting time pass."""
    task = asyncio.ensure_future(queue.pop())
    for _ in range(10):
        await asyncio.sleep(0)
    if task.done():
        return task.result()
    task.cancel()
    return None


def node_info(**kwargs: Any) -> NodeInfo:
    info = NodeInfo("n")
    info.set_node(node("n", **kwargs))
    return info


async def test_priority_then_arrival() -> None:
    queue = make_queue(ManualClock())
    for name, priority in (("low", 0), ("high", 10), ("also-low", 0)):
        queue.add(PodInfo(pod(name, priority=priority)))
    assert [(await queue.pop()).pod.name for _ in range(3)] == ["high", "low", "also-low"]


async def test_backoff_doubles_to_ten_seconds() -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p")))
    popped = await pop_now(queue)
    for expected in (1, 2, 4, 8, 10, 10):
        assert popped is not None
        queue.put_back(popped)
        await clock.advance(expected - 0.01)
        assert await pop_now(queue) is None
        await clock.advance(0.02)
        popped = await pop_now(queue)


async def test_who_was_tried_comes_behind_those_who_came_meanwhile() -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("old")))
    tried = await queue.pop()
    await clock.advance(0.1)
    queue.add(PodInfo(pod("new")))
    await clock.advance(0.1)
    queue.put_back(tried)
    await clock.advance(1.1)
    assert [(await queue.pop()).pod.name for _ in range(2)] == ["new", "old"]


async def test_backoff_begins_when_the_try_ends() -> None:
    """A try may take minutes, while volumes are provisioned."""
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p")))
    tried = await queue.pop()
    await clock.advance(600)
    queue.put_back(tried)
    assert await pop_now(queue) is None
    await clock.advance(1.1)
    assert await pop_now(queue) is not None


CHANGES = [
    pytest.param(Change(What.NODE_ADD, None, node_info(cpu="8")), True, id="larger node"),
    pytest.param(Change(What.NODE_ADD, None, node_info(cpu="4")), False, id="node too small"),
    pytest.param(Change(What.NODE_UPDATE, node_info(cpu="4"), node_info(cpu="6")), True, id="node grew"),
    pytest.param(Change(What.NODE_UPDATE, node_info(cpu="6"), node_info(cpu="6")), False, id="heartbeat"),
    pytest.param(Change(What.POD_DELETE, PodInfo(pod("q", cpu="1", on="n"))), True, id="pod ended"),
    pytest.param(Change(What.POD_ADD, None, PodInfo(pod("q", cpu="1", on="n"))), False, id="pod came"),
]


@pytest.mark.parametrize(("change", "wakes"), CHANGES)
async def test_only_a_helpful_change_wakes(change: Change, wakes: bool) -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p", cpu="5")))
    queue.put_back(await queue.pop(), {"NodeResourcesFit"})
    assert queue.move(change) == (1 if wakes else 0)
    await clock.advance(1.1)
    assert (await pop_now(queue) is not None) == wakes


def _near(kind: str, **labels: str) -> dict[str, Any]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


WEB, DB = PodInfo(pod("q", labels={"app": "web"})), PodInfo(pod("q", labels={"app": "db"}))
AVERSE = PodInfo(pod("q", **_near("podAntiAffinity", app="p")))
NEAR, FAR = _near("podAffinity", app="web"), _near("podAntiAffinity", app="web")


@pytest.mark.parametrize(
    ("waiting", "change", "wakes"),
    [
        pytest.param(NEAR, Change(What.POD_ADD, None, WEB), True, id="who is wanted comes"),
        pytest.param(NEAR, Change(What.POD_ADD, None, DB), False, id="another comes"),
        pytest.param(NEAR, Change(What.POD_UPDATE, DB, WEB), True, id="another becomes wanted"),
        pytest.param(NEAR, Change(What.POD_UPDATE, WEB, WEB), False, id="nothing new"),
        pytest.param(NEAR, Change(What.POD_DELETE, WEB), False, id="who is wanted goes"),
        pytest.param(FAR, Change(What.POD_DELETE, WEB), True, id="who is not wanted goes"),
        pytest.param(FAR, Change(What.POD_DELETE, DB), False, id="another goes"),
        pytest.param(FAR, Change(What.POD_UPDATE, WEB, DB), True, id="who is not wanted becomes another"),
        pytest.param({}, Change(What.POD_DELETE, AVERSE), True, id="who did not want it goes"),
    ],
)
def test_affinity_waits_for_the_pods_it_speaks_of(waiting: dict[str, Any], change: Change, wakes: bool) -> None:
    assert FRAMEWORK.may_help(PodInfo(pod("p", labels={"app": "p"}, **waiting)), ["InterPodAffinity"], change) == wakes


def _offers(*, cordoned: bool = False, **fields: Any) -> NodeInfo:
    info = NodeInfo("n")
    info.set_node(node("n", unschedulable=cordoned, **fields))
    return info


PLAIN, CORDONED = _offers(), _offers(cordoned=True)
FAST, FAST_AND_NEW = _offers(labels={"disk": "fast"}), _offers(labels={"disk": "fast", "new": "yes"})
TAINTED = _offers(taints=[{"key": "k", "effect": "NoSchedule"}])
HINTED = _offers(taints=[{"key": "k", "effect": "PreferNoSchedule"}])


@pytest.mark.parametrize(
    ("plugin", "before", "after", "wakes"),
    [
        pytest.param("NodeAffinity", PLAIN, FAST, True, id="label comes"),
        pytest.param("NodeAffinity", FAST, FAST_AND_NEW, False, id="matched before"),
        pytest.param("NodeAffinity", FAST, PLAIN, False, id="label goes"),
        pytest.param("NodeAffinity", None, FAST, True, id="new and matching"),
        pytest.param("TaintToleration", TAINTED, PLAIN, True, id="taint goes"),
        pytest.param("TaintToleration", HINTED, PLAIN, False, id="tolerated before"),
        pytest.param("TaintToleration", PLAIN, TAINTED, False, id="taint comes"),
        pytest.param("TaintToleration", None, HINTED, True, id="new and tolerated"),
        pytest.param("NodeUnschedulable", CORDONED, PLAIN, True, id="uncordoned"),
        pytest.param("NodeUnschedulable", PLAIN, CORDONED, False, id="cordoned"),
        pytest.param("NodeUnschedulable", None, CORDONED, False, id="new and cordoned"),
    ],
)
def test_a_node_wakes_whom_it_takes_and_did_not_take(
    plugin: str, before: NodeInfo | None, after: NodeInfo, wakes: bool
) -> None:
    what = What.NODE_ADD if before is None else What.NODE_UPDATE
    waiting = PodInfo(pod("p", nodeSelector={"disk": "fast"}))
    assert FRAMEWORK.may_help(waiting, [plugin], Change(what, before, after)) == wakes


OTHER_LABELS, TOLERANT = {"labels": {"app": "x"}}, {"tolerations": [{"operator": "Exists"}]}
ANOTHER_TOLERATION = {"tolerations": [{"key": "k", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("plugin", "changed", "wakes"),
    [
        pytest.param("InterPodAffinity", OTHER_LABELS, True, id="labels to affinity"),
        pytest.param("PodTopologySpread", OTHER_LABELS, True, id="labels to spreading"),
        pytest.param("NodeResourcesFit", OTHER_LABELS, False, id="labels to resources"),
        pytest.param("NodeResourcesFit", {"cpu": "1"}, True, id="less"),
        pytest.param("NodeResourcesFit", {"cpu": "9"}, False, id="more"),
        pytest.param("TaintToleration", ANOTHER_TOLERATION, True, id="toleration to taints"),
        pytest.param("NodeUnschedulable", TOLERANT, True, id="toleration of the cordon"),
        pytest.param("NodeUnschedulable", ANOTHER_TOLERATION, False, id="toleration of something else"),
        pytest.param("PodTopologySpread", TOLERANT, False, id="toleration to spreading"),
        pytest.param("NodeAffinity", {"activeDeadlineSeconds": 5}, False, id="what no rule reads"),
    ],
)
async def test_a_pod_that_changes_is_tried_again_where_the_rule_that_refused_it_says_so(
    plugin: str, changed: dict[str, Any], wakes: bool
) -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p", cpu="5")))
    queue.put_back(await queue.pop(), {plugin})
    await clock.advance(5)
    queue.update(PodInfo(pod("p", **{"cpu": "5", **changed})))
    assert (await pop_now(queue) is not None) == wakes


async def test_a_node_that_goes_wakes_who_waits_for_another_domain() -> None:
    """The emptiest zone may have gone with it; a node without a zone was in none."""
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    queue, cache = make_queue(ManualClock()), SchedulerCache()
    for name, labels in (("zoned", {"zone": "1"}), ("plain", {})):
        cache.set_node(node(name, labels=labels))
    watching = Watching(cache, queue, Nominator(), {"default-scheduler": FRAMEWORK})
    for refused_by in ("PodTopologySpread", "NodeResourcesFit"):
        queue.add(PodInfo(pod(refused_by, topologySpreadConstraints=[spread])))
        queue.put_back(await queue.pop(), {refused_by})
    watching.node_gone(node("plain"))
    assert queue.lengths()["unschedulable"] == 2
    watching.node_gone(node("zoned"))
    assert [each["key"] for each in queue.later() if each["after"] is None] == ["default/NodeResourcesFit"]


async def test_unschedulable_pods_are_tried_again_after_five_minutes() -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p", cpu="5")))
    queue.put_back(await queue.pop(), {"NodeResourcesFit"})
    await clock.advance(290)
    assert await pop_now(queue) is None
    await clock.advance(60)
    assert await pop_now(queue) is not None


@pytest.mark.parametrize(
    ("old", "new", "woken"),
    [
        ({}, {"taints": [{"key": "a", "effect": "NoSchedule"}]}, False),
        ({}, {"labels": {"disk": "ssd"}}, False),
        ({}, {"labels": {"rack": "r1"}}, True),
        ({"labels": {"rack": "r1"}}, {}, True),
        (
            {"labels": {"rack": "r1"}},
            {"labels": {"rack": "r1"}, "taints": [{"key": "a", "effect": "NoSchedule"}]},
            True,
        ),
        ({"labels": {"rack": "r1"}}, {"labels": {"rack": "r1"}}, False),
        (None, {}, False),
        (None, {"labels": {"rack": "r1"}}, True),
        ({}, None, False),
        ({"labels": {"rack": "r1"}}, None, True),
    ],
)
async def test_spreading_is_concerned_by_nodes_of_a_domain(old: Any, new: Any, woken: bool) -> None:
    what = What.NODE_ADD if old is None else What.NODE_DELETE if new is None else What.NODE_UPDATE
    clock = ManualClock()
    queue = make_queue(clock)
    constraint = {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    queue.add(PodInfo(pod("p", topologySpreadConstraints=[constraint])))
    queue.put_back(await queue.pop(), {"PodTopologySpread"})
    await clock.advance(5)
    before, after = (None if each is None else node_info(**each) for each in (old, new))
    queue.move(Change(what, before, after))
    assert (await pop_now(queue) is not None) == woken


async def test_a_pod_whose_room_could_not_be_made_is_tried_after_its_backoff() -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p", cpu="5")))
    queued = await queue.pop()
    queue.put_back(queued, {"NodeResourcesFit"})
    queue.retry(queued.pod.uid)
    assert await pop_now(queue) is None
    await clock.advance(1.1)
    assert await pop_now(queue) is not None


async def test_scheduling_gates_hold_a_pod_until_removed() -> None:
    queue = make_queue(ManualClock())
    queue.add(PodInfo(pod("p", schedulingGates=[{"name": "example.com/wait"}])))
    queue.move(Change(What.NODE_ADD, None, node_info()))
    assert await pop_now(queue) is None
    assert queue.lengths()["gated"] == 1
    queue.update(PodInfo(pod("p")))
    assert await pop_now(queue) is not None


async def test_a_status_change_does_not_wake_but_a_toleration_does() -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p")))
    queue.put_back(await queue.pop(), {"TaintToleration", "Extender"})
    await clock.advance(5)
    queue.update(PodInfo({**pod("p"), "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled"}]}}))
    assert await pop_now(queue) is None
    queue.update(PodInfo(pod("p", tolerations=[{"operator": "Exists"}])))
    assert await pop_now(queue) is not None


async def test_a_pod_that_changes_while_it_is_tried_comes_back_as_it_is_then() -> None:
    """It waits for no change of the cluster: with other labels, the same rule may let it in."""
    clock = ManualClock()
    queue, cache = make_queue(clock), SchedulerCache()
    watching = Watching(cache, queue, Nominator(), {"default-scheduler": FRAMEWORK})
    watching.pod_changed(pod("p"))
    tried = await queue.pop()
    cache.assume(tried.pod, "n")
    watching.pod_changed(pod("p", labels={"app": "web"}))
    assert await pop_now(queue) is None
    queue.put_back(tried, {"PodTopologySpread"})
    await clock.advance(1.1)
    again = await pop_now(queue)
    assert again is not None
    assert (again.pod.labels, again.attempts) == ({"app": "web"}, 2)


async def test_a_pod_that_goes_while_it_is_tried_does_not_come_back() -> None:
    clock = ManualClock()
    queue = make_queue(clock)
    queue.add(PodInfo(pod("p")))
    tried = await queue.pop()
    queue.delete(tried.pod.uid)
    queue.put_back(tried)
    await clock.advance(1.1)
    assert await pop_now(queue) is None


async def test_a_deleted_pod_is_not_popped() -> None:
    queue = make_queue(ManualClock())
    queue.add(PodInfo(pod("p")))
    queue.delete("uid-default-p")
    assert await pop_now(queue) is None


@pytest.mark.parametrize("turns", range(12))
async def test_a_waiting_pop_can_be_cancelled_at_any_moment(turns: int) -> None:
    """Also in the turn in which it wakes up for another reason."""
    queue = make_queue(ManualClock())
    for name in ("tried", "tried too"):
        queue.add(PodInfo(pod(name)))
    tried, other = await queue.pop(), await queue.pop()
    queue.put_back(tried)
    waiting = asyncio.create_task(queue.pop())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queue.add(PodInfo(pod("gated", schedulingGates=[{"name": "g"}])))
    queue.put_back(other)
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=1)
    assert done
