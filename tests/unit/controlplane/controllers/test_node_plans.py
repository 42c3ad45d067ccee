"""Silence, taints, zones, tolerations, subnets, and pods that nobody will finish."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import ManualClock
from controlplane.controllers import node_health as health
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.context import Context
from controlplane.controllers.node_ipam import SubnetPool
from controlplane.controllers.pod_gc import plan_out_of_service, plan_terminated, plan_unscheduled
from controlplane.controllers.taint_eviction import TaintEvictionController, plan_eviction
from tests.unit.controlplane.controllers.objects_for_controllers import ago, node, pod

Object = dict[str, Any]
UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"


def lease(renewed: str) -> Object:
    return {"spec": {"renewTime": renewed}}


def test_silence_is_counted_from_what_we_saw_not_from_what_the_node_says() -> None:
    """A wall clock that jumps a day, ours or the node's, changes nothing."""
    heard = health.hear(node("n"), lease(ago(86400)), None, 100.0)
    assert not health.is_silent(heard, 150.0, 50, 60)
    assert health.is_silent(heard, 150.1, 50, 60)
    again = health.hear(node("n"), lease(ago(-86400)), heard, 150.0)
    assert again.at == 150.0
    assert health.hear(node("n"), lease(ago(-86400)), again, 170.0).at == 150.0


def test_a_node_that_never_spoke_has_the_startup_grace() -> None:
    fresh: Object = {**node("n"), "status": {}}
    heard = health.hear(fresh, None, None, 0.0)
    assert not health.is_silent(heard, 55.0, 50, 60)
    assert health.is_silent(heard, 60.1, 50, 60)
    reasons = {c["reason"] for c in health.unknown_conditions(fresh, ago(0))}
    assert reasons == {"NodeStatusNeverUpdated"}


def test_a_silent_node_becomes_unknown_once() -> None:
    silent = node("n")
    changed = health.unknown_conditions(silent, ago(0))
    assert {c["type"] for c in changed} == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    ready = next(c for c in changed if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.",
    )  # fmt: skip
    assert ready["lastHeartbeatTime"] == ago(10)
    assert health.unknown_conditions({**silent, "status": {"conditions": changed}}, ago(0)) == []


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(node("n"), None, id="healthy"),
        pytest.param(node("n", "False"), [(NOT_READY, "NoSchedule")], id="not ready"),
        pytest.param(node("n", "Unknown"), [(UNREACHABLE, "NoSchedule")], id="unreachable"),
        pytest.param(
            node("n", unschedulable=True), [("node.kubernetes.io/unschedulable", "NoSchedule")], id="cordoned"
        ),
        pytest.param(
            node("n", taints=[{"key": "mine", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoSchedule"}]),
            [("mine", "NoSchedule")],
            id="well again, others' taints stay",
        ),
        pytest.param(node("n", "False", taints=[{"key": NOT_READY, "effect": "NoSchedule"}]), None, id="has it"),
    ],
)
def test_no_schedule_taints(subject: Object, expected: list[tuple[str, str]] | None) -> None:
    wanted = health.plan_no_schedule(subject, ago(0))
    assert (wanted and [(t["key"], t["effect"]) for t in wanted]) == expected
    before = (subject["spec"].get("taints") or []) if "spec" in subject else []
    assert all(t.get("timeAdded") == ago(0) for t in wanted or () if t not in before)


def no_execute(key: str) -> list[Object]:
    return [{"key": key, "effect": "NoExecute"}]


@pytest.mark.parametrize(
    ("subject", "evict", "expected"),
    [
        pytest.param(node("n"), True, None, id="healthy"),
        pytest.param(node("n", "Unknown"), True, [UNREACHABLE], id="unreachable"),
        pytest.param(node("n", "Unknown"), False, None, id="too many at once"),
        pytest.param(node("n", "False", taints=no_execute(UNREACHABLE)), False, [NOT_READY], id="exchanged"),
        pytest.param(node("n", taints=no_execute(NOT_READY)), True, [], id="well again"),
    ],
)
def test_no_execute_taints(subject: Object, evict: bool, expected: list[str] | None) -> None:
    wanted = health.plan_no_execute(subject, evict=evict, stamp=ago(0))
    assert wanted is None if expected is None else [t["key"] for t in wanted or ()] == expected


@pytest.mark.parametrize(
    ("zones", "rates"),
    [
        pytest.param({"": [True, True, False]}, {"": 0.1}, id="one of three"),
        pytest.param({"": [False, False, False]}, {"": 0.0}, id="all down: nobody is evicted"),
        pytest.param({"": [False]}, {"": 0.0}, id="the only node"),
        pytest.param({"a": [False, False], "b": [True]}, {"a": 0.1, "b": 0.1}, id="one zone down, one alive"),
        pytest.param({"": [False] * 3 + [True] * 2}, {"": 0.0}, id="small zone, mostly down"),
        pytest.param({"": [False] * 40 + [True] * 20}, {"": 0.01}, id="large zone, mostly down"),
    ],
)
def test_eviction_rates(zones: dict[str, list[bool]], rates: dict[str, float]) -> None:
    assert health.eviction_rates(zones, normal=0.1) == rates


def test_a_label_takes_a_node_out_of_the_judgement_of_its_zone() -> None:
    nodes = [node("n1"), node("n2", "False"), node("n3", "Unknown"), node("n4")]
    nodes[1]["metadata"]["labels"] = {"node.kubernetes.io/exclude-disruption": ""}
    nodes[3]["metadata"]["labels"] = {"topology.kubernetes.io/zone": "b", "node.kubernetes.io/exclude-disruption": "x"}
    assert health.readiness_by_zone(nodes) == {"": [True, False]}


def test_eviction_rates_that_were_told_otherwise() -> None:
    zones = {"": [False] * 3 + [True] * 4}
    assert health.eviction_rates(zones, normal=0.1) == {"": 0.1}
    assert health.eviction_rates(zones, normal=0.1, unhealthy=0.4) == {"": 0.0}
    assert health.eviction_rates(zones, normal=0.1, secondary=0.03, large=6, unhealthy=0.4) == {"": 0.03}


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], 0.0, id="none"),
        pytest.param([{"operator": "Exists"}], None, id="for ever"),
        pytest.param(
            [{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            300.0,
            id="300",
        ),
        pytest.param(
            [
                {"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 300},
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 20},
            ],
            300.0,
            id="the first that tolerates the taint",
        ),
        pytest.param(
            [{"operator": "Exists"}, {"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 20}],
            None,
            id="the first, for ever",
        ),
        pytest.param([{"key": NOT_READY, "operator": "Exists"}], 0.0, id="another taint's"),
        pytest.param([{"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": -1}], 0.0, id="negative"),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[Object], expected: float | None) -> None:
    assert plan_eviction(no_execute(UNREACHABLE), tolerations) == expected


def test_of_several_taints_the_shortest_toleration_counts() -> None:
    tolerations = [
        {"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 300},
        {"key": NOT_READY, "operator": "Exists", "tolerationSeconds": 20},
    ]
    assert plan_eviction([*no_execute(UNREACHABLE), *no_execute(NOT_READY)], tolerations) == 20.0


async def test_an_exchanged_taint_does_not_begin_the_time_anew() -> None:
    """A node whose runtime failed, and that then fell silent."""
    config, clock = ClientConfig("http://127.0.0.1:1"), ManualClock()
    context = Context(Client(config, "test"), ControllersConfig(config), clock)
    controller, nodes = TaintEvictionController(context), context.informer(NODES).lister
    tolerations = [{"operator": "Exists", "tolerationSeconds": 300}]
    context.informer(PODS).lister.put(pod("app", node="n1", tolerations=tolerations))
    nodes.put(node("n1", "False", taints=no_execute(NOT_READY)))
    assert await controller.reconcile("default/app") == 300
    await clock.advance(100)
    nodes.put(node("n1", "Unknown", taints=no_execute(UNREACHABLE)))
    assert await controller.reconcile("default/app") == 200
    nodes.put(node("n1"))
    assert await controller.reconcile("default/app") is None
    nodes.put(node("n1", "Unknown", taints=no_execute(UNREACHABLE)))
    assert await controller.reconcile("default/app") == 300, "it was well in between"


async def test_the_end_of_a_stay_does_not_move() -> None:
    config, clock = ClientConfig("http://127.0.0.1:1"), ManualClock()
    context = Context(Client(config, "test"), ControllersConfig(config), clock)
    controller, nodes = TaintEvictionController(context), context.informer(NODES).lister

    def put_guest(**seconds: int) -> None:
        names = {"ill": NOT_READY, "silent": UNREACHABLE}
        tolerations = [
            {"key": names[each], "operator": "Exists", "tolerationSeconds": limit} for each, limit in seconds.items()
        ]
        context.informer(PODS).lister.put(pod("app", node="n1", tolerations=tolerations))

    put_guest(ill=300, silent=60)
    nodes.put(node("n1", "False", taints=no_execute(NOT_READY)))
    assert await controller.reconcile("default/app") == 300
    await clock.advance(100)
    nodes.put(node("n1", "Unknown", taints=no_execute(UNREACHABLE)))
    assert await controller.reconcile("default/app") == 200, "another taint is tolerated for a shorter time"
    put_guest(ill=300, silent=3600)
    assert await controller.reconcile("default/app") == 200, "a longer toleration comes too late"
    put_guest(ill=300)
    async with context.client:
        with pytest.raises(ApiUnreachable):  # what is not tolerated at all evicts at once
            await controller.reconcile("default/app")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"topology.kubernetes.io/zone": "a"}, {}, id="others"),
        pytest.param({"beta.kubernetes.io/os": "linux"}, {}, id="nothing to repeat"),
        pytest.param(
            {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "beta.kubernetes.io/arch": "arm"},
            {"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"},
            id="missing, and wrong",
        ),
        pytest.param({"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux"}, {}, id="right"),
    ],
)
def test_old_labels_repeat_the_new(labels: dict[str, str], expected: dict[str, str]) -> None:
    subject = node("n1")
    subject["metadata"]["labels"] = labels
    assert health.plan_labels(subject) == expected


def test_other_effects_do_not_evict() -> None:
    assert plan_eviction([{"key": "a", "effect": "NoSchedule"}], []) is None


def test_subnets_are_given_once_and_taken_back() -> None:
    pool = SubnetPool(ipaddress.ip_network("10.244.0.0/22"), 24)
    assert pool.occupy("10.244.1.0/24")
    given = [pool.take() for _ in range(3)]
    assert given == ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24"]
    assert pool.take() is None
    pool.release("10.244.2.0/24")
    assert pool.take() == "10.244.2.0/24"
    assert not pool.occupy("10.99.0.0/24")


@pytest.mark.parametrize(
    ("cluster", "mask", "given", "indexes"),
    [
        pytest.param("127.0.0.0/8", 16, "127.0.0.0/8", range(256), id="the whole range"),
        pytest.param("127.0.0.0/8", 16, "64.0.0.0/2", range(256), id="more than the range"),
        pytest.param("2001:beef:1200::/40", 48, "2001:beef::/34", range(256), id="more, IPv6"),
        pytest.param("127.0.0.0/8", 16, "127.0.0.0/16", range(1), id="one"),
        pytest.param("126.0.0.0/7", 16, "127.0.0.0/15", range(256, 258), id="two"),
        pytest.param("2001:beef:7e00::/39", 50, "2001:beef:7f00::/47", range(1024, 1032), id="eight, IPv6"),
        pytest.param("10.42.0.0/16", 24, "10.42.5.64/26", range(5, 6), id="a part of one"),
        pytest.param("10.42.0.0/16", 24, "10.42.5.1/24", range(5, 6), id="named by one of its addresses"),
        pytest.param("10.42.0.0/16", 24, "010.042.005.000/24", range(5, 6), id="leading zeros"),
        pytest.param("192.168.0.0/16", 24, "127.168.224.0/24", range(0), id="of another range"),
    ],
)
def test_a_node_may_have_a_subnet_of_another_size(cluster: str, mask: int, given: str, indexes: range) -> None:
    """As after a change of the mask: what a node has is not given to another."""
    pool = SubnetPool(ipaddress.ip_network(cluster), mask)
    subnets = [str(each) for each in ipaddress.ip_network(cluster).subnets(new_prefix=mask)]
    assert pool.occupy(given) == bool(indexes)
    free = [subnet for number, subnet in enumerate(subnets) if number not in indexes]
    assert [pool.take() for _ in range(len(free) + 1)] == [*free, None]
    pool.release(given)
    assert {pool.take() for _ in indexes} == {subnets[number] for number in indexes}


def test_a_pool_knows_its_own() -> None:
    pool = SubnetPool(ipaddress.ip_network("fd00:244::/48"), 64)
    assert (pool.count, pool.take()) == (65536, "fd00:244::/64")
    assert pool.holds("fd00:244:0:5::/64") and not pool.holds("10.244.0.0/24") and not pool.holds("fd00:245::/64")


def test_subnets_stay_out_of_the_service_range() -> None:
    pool = SubnetPool(ipaddress.ip_network("10.0.0.0/22"), 24, ipaddress.ip_network("10.0.0.0/23"))
    assert [pool.take(), pool.take(), pool.take()] == ["10.0.2.0/24", "10.0.3.0/24", None]


@given(st.lists(st.one_of(st.none(), st.integers(0, 15)), max_size=60))
def test_no_subnet_is_given_twice(steps: list[int | None]) -> None:
    """None takes; a number releases that subnet if it is out."""
    pool = SubnetPool(ipaddress.ip_network("fd00::/60"), 64)
    out: set[str] = set()
    for step in steps:
        if step is None:
            subnet = pool.take()
            assert (subnet is None) == (len(out) == 16)
            assert subnet not in out
            out |= {subnet} if subnet else set()
        else:
            network = str(list(ipaddress.ip_network("fd00::/60").subnets(new_prefix=64))[step])
            if network in out:
                out.discard(network)
                pool.release(network)


def test_pods_nobody_will_finish() -> None:
    ended = [pod(f"e{i}", phase="Succeeded", age=i) for i in range(5)]
    assert [p["metadata"]["name"] for p in plan_terminated([*ended, pod("runs")], 3)] == ["e4", "e3"]
    assert plan_terminated(ended, 0) == []
    stuck = pod("stuck", node="", deleting=True)
    assert plan_unscheduled([stuck, pod("bound", deleting=True), pod("waiting", node="")]) == [stuck]
    off = node("n1", "Unknown", taints=[{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}])
    leaving = pod("leaving", deleting=True)
    assert plan_out_of_service([leaving, pod("other")], [off]) == [leaving]
    assert plan_out_of_service([leaving], [node("n1", "True", taints=off["spec"]["taints"])]) == []
