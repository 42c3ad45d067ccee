"""Priority and fairness: which flow a request is in, who gets the next seat, who is refused."""

import asyncio
import itertools
import time

import pytest

from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta.status import ApiError, Busy
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.bootstrap.flow_control import plan_condition, plan_update
from controlplane.apiserver.fairness.controller import Fairness
from controlplane.apiserver.fairness.defaults import flow_schemas, priority_levels
from controlplane.apiserver.fairness.dumps import dumps
from controlplane.apiserver.fairness.inflight import InFlight
from controlplane.apiserver.fairness.level import Level, Refused, deal
from controlplane.apiserver.fairness.retry_after import RetryAfter


def user(name, *groups):
    return User(name, groups=(*groups, "system:authenticated"))


def ask(who, verb="get", resource="pods", group="", namespace="a", **more):
    return Attributes(who, verb, group, "v1", resource, namespace=namespace, **more)


BOB = ask(user("bob"))
ROOT = "/debug/api_priority_and_fairness/dump_"


@pytest.mark.parametrize(
    ("asked", "schema"),
    [
        (ask(user("root", "system:masters")), "exempt"),
        (Attributes(user("x"), "get", path="/readyz"), "probes"),
        (Attributes(user("x"), "get", path="/readyz/etcd"), "global-default"),
        (ask(user("system:kube-scheduler"), "update", "leases", "coordination.k8s.io"), "system-leader-election"),
        (ask(user("system:kube-scheduler"), "list"), "kube-scheduler"),
        (ask(user("system:kube-controller-manager"), "update", "endpoints"), "endpoint-controller"),
        (ask(user("system:serviceaccount:kube-system:x"), "get", "configmaps"), "workload-leader-election"),
        (ask(user("system:serviceaccount:kube-system:x")), "kube-system-service-accounts"),
        (ask(user("system:serviceaccount:a:x", "system:serviceaccounts")), "service-accounts"),
        (ask(user("system:node:n", "system:nodes"), "update", "nodes", namespace=""), "system-node-high"),
        (ask(user("system:node:n", "system:nodes"), "get", "secrets"), "system-nodes"),
        (ask(user("bob"), "list", namespace=""), "global-default"),
        (ask(User("nobody", groups=())), "catch-all"),
    ],
)
async def test_which_schema_a_request_belongs_to(asked, schema):
    fairness = Fairness(600)
    assert fairness.classify(asked).schema["metadata"]["name"] == schema
    assert fairness.classify(asked) is fairness.classify(asked)


async def test_seats_are_shared_out_by_shares():
    fairness = Fairness(600)
    assert {name: level.seats for name, level in fairness.levels.items() if not level.exempt} == {
        "catch-all": 13,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
    }
    assert fairness.levels["workload-low"].lendable == 220


def alone(seats, queues=64, hand=6, length=50):
    level = Level("l", "", may_borrow=lambda _: False)
    level.configure(seats=seats, lendable=0, borrowing=0, queues=queues, hand=hand, length=length)
    return level


async def test_a_noisy_flow_does_not_starve_a_quiet_one():
    level = alone(2)
    order = []

    async def work(flow):
        queue = None if level.take_now() else await level.take("s", flow, BOB, 0.0, 60)
        order.append(flow)
        await asyncio.sleep(0)
        level.give_back(queue)
        level.dispatch()

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(work("noisy"))
        await asyncio.sleep(0)
        for _ in range(5):
            group.create_task(work("quiet"))
    assert len(order) == 205 and level.executing == 0 and level.waiting == 0
    quiet = [position for position, flow in enumerate(order) if flow == "quiet"]
    # The flood holds at most six of 64 queues: one of the quiet flow's is free, and gets every seventh seat.
    assert quiet[0] < 20 and quiet[-1] < 60, quiet


async def test_a_full_queue_refuses_and_waiting_ends():
    level = alone(1, queues=1, hand=1, length=2)
    assert level.take_now()
    waiting = [asyncio.create_task(level.take("s", "f", BOB, 0.0, 60)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="queue-full"):
        await level.take("s", "f", BOB, 0.0, 60)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert (level.waiting, level.cancelled) == (1, 1)
    with pytest.raises(Refused, match="time-out"):
        await level.take("s", "f", BOB, 0.0, 0.0)
    level.give_back(None)
    level.dispatch()
    level.give_back(await waiting[1])
    assert (level.executing, level.waiting, level.timed_out) == (0, 0, 1)


async def test_a_seat_is_not_lost_to_one_who_has_just_given_up():
    level = alone(1, queues=1, hand=1)
    assert level.take_now()
    gone = asyncio.create_task(level.take("s", "f", BOB, 0.0, 60))
    stays = asyncio.create_task(level.take("s", "f", BOB, 0.0, 60))
    await asyncio.sleep(0)
    level.give_back(None)
    level.dispatch()
    gone.cancel()  # in the moment in which it was seated
    await asyncio.gather(gone, return_exceptions=True)
    level.give_back(await stays)
    assert (level.executing, level.waiting) == (0, 0)


async def test_idle_levels_lend_their_seats():
    fairness = Fairness(60)
    low, high = fairness.levels["workload-low"], fairness.levels["global-default"]
    taken = 0
    while high.take_now():
        taken += 1
    assert taken > high.seats and high.executing <= 60
    lent = high.executing - high.seats
    assert lent == sum(level.lendable for name, level in fairness.levels.items() if name != "global-default")
    for _ in range(low.seats):
        assert low.take_now()  # what is its own is never refused
    assert not high.take_now()


async def test_without_queues_there_is_no_waiting():
    fairness = Fairness(6)
    asked = ask(User("nobody", groups=()))
    seats = []
    with pytest.raises(ApiError) as refused:
        for _ in range(100):
            seats.append(await fairness.take(asked))
    assert refused.value.code == 429 and refused.value.retry_after == 1
    seats[0].release()
    (await fairness.take(asked)).release()


async def test_stored_objects_count():
    fairness = Fairness(600)
    schema = next(each for each in flow_schemas() if each["metadata"]["name"] == "global-default")
    mine = {**schema, "metadata": {"name": "mine", "uid": "u1"}, "spec": {**schema["spec"], "matchingPrecedence": 5}}
    fairness.put(mine)
    await asyncio.sleep(0)
    assert fairness.classify(ask(user("bob"))).headers["X-Kubernetes-PF-FlowSchema-UID"] == "u1"
    fairness.drop(mine)
    fairness.drop(next(each for each in flow_schemas() if each["metadata"]["name"] == "catch-all"))
    level = next(each for each in priority_levels() if each["metadata"]["name"] == "global-default")
    fairness.drop(level)
    await asyncio.sleep(0)
    assert fairness.classify(ask(user("bob"))).schema["metadata"]["name"] == "catch-all"


async def test_levels_and_what_is_under_way_are_told_in_metrics():
    def told(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"apiserver_flowcontrol_{name}", labels)

    fairness = Fairness(600)
    low = {"priority_level": "workload-low"}
    assert [told(f"{which}_limit_seats", **low) for which in ("nominal", "lower", "upper")] == [245, 25, 845]
    flow = {"priority_level": "global-default", "flow_schema": "global-default"}
    before = told("request_wait_duration_seconds_count", **flow, execute="true") or 0
    seat = await fairness.take(ask(user("bob")))
    assert told("current_executing_requests", **flow) == 1 and told("current_inqueue_requests", **flow) == 0
    assert told("current_executing_seats", **flow) == 1
    assert told("request_wait_duration_seconds_count", **flow, execute="true") == before + 1
    seat.release()
    assert told("current_executing_requests", **flow) == 0

    level = next(each for each in priority_levels() if each["metadata"]["name"] == "workload-low")
    fairness.drop(level)
    await asyncio.sleep(0)
    assert told("nominal_limit_seats", **low) is None and told("nominal_limit_seats", priority_level="catch-all")


def test_hands_are_spread_and_hold_no_card_twice():
    hands = [tuple(deal(f"flow-{number}", 128, 6)) for number in range(500)]
    assert all(len(set(hand)) == 6 and set(hand) <= set(range(128)) for hand in hands)
    assert len({card for hand in hands for card in hand}) == 128 and len(set(hands)) == 500
    assert deal("f", 4, 6) in ([*order] for order in itertools.permutations(range(4)))


async def test_dumps():
    fairness = Fairness(600)
    seat = await fairness.take(ask(user("bob")))
    shown = {path.rpartition("/")[2]: dump({}) for path, dump in dumps(fairness).items()}
    row = next(line for line in shown["dump_priority_levels"].splitlines() if line.startswith("global-default"))
    assert [cell.strip() for cell in row.split(",")] == [
        "global-default",
        "0",
        "false",
        "false",
        "0",
        "1",
        "1",
        "0",
        "0",
        "0",
    ]
    assert len(shown["dump_queues"].splitlines()) == 1 + 64 * 2 + 16 + 128 * 3
    head, first = shown["dump_queues"].splitlines()[:2]
    assert head.startswith("PriorityLevelName, Index,  PendingRequests, ExecutingRequests, SeatsInUse, NextDispatchR, ")
    assert head.endswith(" InitialSeatsSum, MaxSeatsSum, TotalWorkSum")
    assert first.startswith(
        "global-default,    0,      0,               0,                 0,          0.00000000ss,  0,"
    )
    head, running = shown["dump_requests"].splitlines()
    assert head.startswith("PriorityLevelName, FlowSchemaName, QueueIndex, RequestIndexInQueue, FlowDistingsher, ")
    assert running.startswith("global-default,    global-default, -1,         -1,                  bob,")
    head, running = dumps(fairness)[f"{ROOT}requests"]({"includeRequestDetails": "1"}).splitlines()
    assert head.endswith(" UserName, Verb,   APIPath, Namespace, Name,   APIVersion, Resource, SubResource")
    cells = [cell.strip() for cell in running.split(",")]
    assert cells[6:9] == ["1", "0", "0s"] and cells[10:12] == ["bob", "get"]
    seat.release()
    assert len(dumps(fairness)[f"{ROOT}requests"]({}).splitlines()) == 1


async def test_a_dump_of_who_waits():
    fairness = Fairness(600)
    level = fairness.levels["global-default"]
    seats = []
    while level.free:
        seats.append(await fairness.take(BOB))
    waiting = asyncio.create_task(fairness.take(BOB))
    await asyncio.sleep(0)
    shown = {path.rpartition("/")[2]: dump({}) for path, dump in dumps(fairness).items()}
    [row] = [line for line in shown["dump_requests"].splitlines() if line.endswith("0001-01-01T00:00:00Z")]
    assert [cell.strip() for cell in row.split(",")][3:5] == ["0", "bob"]
    [row] = [line for line in shown["dump_queues"].splitlines() if line.endswith("0.00300000ss")]
    assert [cell.strip() for cell in row.split(",")][2:5] == ["1", "0", "0"]
    for seat in seats:
        seat.release()
    (await waiting).release()


def test_who_is_refused_waits_longer_while_many_are():
    retry = RetryAfter()
    told = [(0, 5, 1), (1, 11, 2), (2, 1, 2), (3, 11, 4), (4, 1, 4), (7, 1, 8), (11, 1, 8), (15, 1, 7), (17, 1, 6)]
    for now, refusals, seconds in [*told, (21, 14, 5), (22, 1, 10)]:
        assert [retry.refused(now + 0.5) for _ in range(refusals)][-1] == seconds


async def test_a_refusal_says_which_level_refused():
    fairness = Fairness(600)
    asked = ask(User("nobody", groups=()))
    seats = []
    with pytest.raises(ApiError) as refused:
        while len(seats) < 600:
            seats.append(await fairness.take(asked))
    error = refused.value
    assert isinstance(error, Busy) and error.retry_after == 1
    assert error.headers == seats[0].headers and "X-Kubernetes-PF-PriorityLevel-UID" in error.headers
    for seat in seats:
        seat.release()


async def test_plain_limits():
    limits = InFlight(1, 1)
    bob = user("bob")
    place = await limits.take(ask(bob))
    await limits.take(ask(bob, "watch"))
    with pytest.raises(ApiError):
        await limits.take(ask(bob))
    (await limits.take(ask(bob, "create"))).release()
    beside = await limits.take(ask(user("root", "system:masters")))
    place.release()
    (await limits.take(ask(bob))).release()
    beside.release()
    held = await limits.take(ask(bob))
    with pytest.raises(ApiError):
        await limits.take(ask(bob))
    held.release()


def test_who_owns_a_default_object():
    want = next(each for each in priority_levels() if each["metadata"]["name"] == "workload-low")
    have = {**want, "metadata": {**want["metadata"], "generation": 2}, "spec": {**want["spec"], "type": "x"}}
    assert plan_update(want, want | {"metadata": {**want["metadata"], "generation": 1}}) is None
    mended = plan_update(want, have)
    assert mended["spec"] == want["spec"] and mended["metadata"]["generation"] == 3
    kept = {**have, "metadata": {"name": "workload-low", "generation": 2}}
    assert plan_update(want, kept) is None


def test_a_schema_says_whether_its_level_exists():
    schema = {"spec": {"priorityLevelConfiguration": {"name": "mine"}}}
    lost = plan_condition(schema, {"other"}, "t")
    assert lost["status"]["conditions"][0]["status"] == "True"
    assert lost["status"]["conditions"][0]["message"].endswith('named "mine" but there is no such object')
    assert plan_condition(lost, {"other"}, "later") is None
    found = plan_condition(lost, {"mine"}, "later")
    assert [each["reason"] for each in found["status"]["conditions"]] == ["Found"]


async def test_an_idle_server_pays_microseconds():
    fairness = Fairness(600)
    asked = ask(user("bob"))
    rounds, best = 5000, 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            (await fairness.take(asked)).release()
        best = min(best, (time.perf_counter() - began) / rounds)
    print(f"a seat taken and given back: {best * 1e6:.1f} us")
    assert best < 100e-6
