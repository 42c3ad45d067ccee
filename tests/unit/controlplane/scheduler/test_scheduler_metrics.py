from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import REGISTRY
from controlplane.scheduler import observed
from controlplane.scheduler.framework import Change, What
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.queue import SchedulingQueue
from tests.unit.controlplane.scheduler.objects_for_scheduling import pod


def incoming(queue: str, event: str) -> float:
    labels = {"queue": queue, "event": event}
    return REGISTRY.get_sample_value("scheduler_queue_incoming_pods_total", labels) or 0.0


def pending(queue: str) -> float | None:
    return REGISTRY.get_sample_value("scheduler_pending_pods", {"queue": queue})


async def test_the_queue_tells_who_waits_where_and_why_they_came() -> None:
    clock = ManualClock()
    queue = SchedulingQueue(clock, lambda *_: True)
    observed.show_queue(queue.lengths)
    ways = [
        ("active", "UnschedulablePodAdd"),
        ("unschedulable", "ScheduleAttemptFailure"),
        ("backoff", "ScheduleAttemptFailure"),
        ("backoff", "NodeUpdate"),
        ("active", "BackoffComplete"),
        ("active", "AssignedPodDelete"),
        ("active", "ForceActivate"),
    ]
    before = {way: incoming(*way) for way in ways}

    queue.add(PodInfo(pod("one")))
    queue.add(PodInfo(pod("gated", schedulingGates=[{"name": "later"}])))
    assert [pending(each) for each in ("active", "backoff", "unschedulable", "gated")] == [1, 0, 0, 1]
    one = await queue.pop()
    queue.put_back(one, {"NodeResourcesFit"})
    assert [pending(each) for each in ("active", "backoff", "unschedulable", "gated")] == [0, 0, 1, 1]
    queue.move(Change(What.NODE_UPDATE))
    assert pending("backoff") == 1
    await clock.advance(2)
    one = await queue.pop()
    queue.put_back(one)
    queue.activate(one.pod.uid)
    one = await queue.pop()
    queue.put_back(one, {"NodeResourcesFit"})
    await clock.advance(60)
    queue.move(Change(What.POD_DELETE))
    assert pending("active") == 1
    happened = {way: incoming(*way) - before[way] for way in ways}
    assert happened == {**dict.fromkeys(ways, 1), ("unschedulable", "ScheduleAttemptFailure"): 2}


async def test_a_pod_counts_from_when_it_could_be_tried_first() -> None:
    clock = ManualClock()
    queue = SchedulingQueue(clock, make_framework().may_help)
    gated = PodInfo(pod("gated", schedulingGates=[{"name": "later"}]))
    queue.add(gated)
    await clock.advance(100)
    queue.update(PodInfo(pod("gated")))
    await clock.advance(5)
    queued = await queue.pop()
    assert queued.since == 100
    queue.put_back(queued)
    await clock.advance(30)
    assert (await queue.pop()).since == 100, "later tries are part of the same wait"


def test_attempts_beyond_fifteen_share_a_label() -> None:
    def seconds(attempts: str) -> float:
        name = "scheduler_pod_scheduling_sli_duration_seconds_sum"
        return REGISTRY.get_sample_value(name, {"attempts": attempts}) or 0.0

    before = seconds("14"), seconds("15+")
    for attempts in (14, 15, 40):
        observed.placed(attempts, 2.0)
    assert (seconds("14") - before[0], seconds("15+") - before[1]) == (2, 4)
