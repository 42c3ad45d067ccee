"""Which zone an endpoint is meant for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controlplane.controllers.endpoint_hints import OVERLOAD, Unfit, allocate, plan_shares, weigh_zones
from controlplane.controllers.endpointslice_plan import SlicePlan, plan_slices
from tests.unit.controlplane.controllers.objects_for_controllers import pod

Object = dict[str, Any]

AUTO = {"service.kubernetes.io/topology-mode": "Auto"}
ENABLED = ("Normal", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4")


def node(name: str, zone: str, cpu: str = "2", *, ready: bool = True, **labels: str) -> Object:
    zones = {"topology.kubernetes.io/zone": zone} if zone else {}
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    status = {"allocatable": {"cpu": cpu}, "conditions": conditions}
    return {"metadata": {"name": name, "labels": {**zones, **labels}}, "status": status}


NODES = {"n1": node("n1", "a"), "n2": node("n2", "b")}


def service(annotations: dict[str, str], **spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-svc", "annotations": annotations},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], "ipFamilies": ["IPv4"], **spec},
    }


def on(name: str, *names: str, **kwargs: Any) -> list[Object]:
    """Pods of these names on a node."""
    return [pod(each, node=name, ready=True, **kwargs) for each in names]


def hints(slices: list[Object]) -> dict[str, str]:
    return {
        endpoint["targetRef"]["name"]: endpoint["hints"]["forZones"][0]["name"]
        for each in slices
        for endpoint in each["endpoints"]
        if "hints" in endpoint
    }


def test_prefer_close_hints_every_ready_endpoint_for_its_own_zone() -> None:
    close = service({}, trafficDistribution="PreferClose")
    pods = [*on("n1", "x"), *on("n2", "y"), pod("waits", node="n2"), *on("nowhere", "z")]
    plan = plan_slices(close, pods, [], NODES)
    assert hints(plan.create) == {"x": "a", "y": "b"} and not plan.events


def test_without_being_asked_there_are_no_hints() -> None:
    plan = plan_slices(service({}), on("n1", "x"), [], NODES)
    assert hints(plan.create) == {} and not plan.events


def test_auto_goes_before_prefer_close_and_says_once_that_it_works() -> None:
    auto = service(AUTO, trafficDistribution="PreferClose")
    pods = [*on("n1", "x", "y", "z"), *on("n2", "w")]
    plan = plan_slices(auto, pods, [], NODES)
    assert Counter(hints(plan.create).values()) == {"a": 2, "b": 2}
    assert plan.events == [ENABLED] and plan.proportional == {"IPv4"}
    again = plan_slices(
        auto,
        pods,
        [
            {**each, "metadata": {key: each["metadata"][key] for key in ("labels", "ownerReferences")}}
            for each in plan.create
        ],
        NODES,
        plan.proportional,
    )
    assert again == SlicePlan(proportional={"IPv4"})


def test_hints_go_when_nobody_asks_any_more() -> None:
    existing = plan_slices(service(AUTO), [*on("n1", "x"), *on("n2", "y")], [], NODES).create
    plan = plan_slices(service({}), [*on("n1", "x"), *on("n2", "y")], existing, NODES, {"IPv4"})
    assert len(plan.update) == 1 and hints(plan.update) == {}
    said = "Topology Aware Hints has been disabled, addressType: IPv4"
    assert plan.events == [("Warning", "TopologyAwareHintsDisabled", said)]


INFORMATION = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"


@pytest.mark.parametrize(
    ("nodes", "pods", "why"),
    [
        pytest.param([node("n1", "a"), node("n2", "")], on("n1", "x", "y"), INFORMATION, id="a node without zone"),
        pytest.param([node("n1", "a"), node("n2", "b", "0")], on("n1", "x", "y"), INFORMATION, id="without processors"),
        pytest.param([node("n1", "a"), node("n2", "b", ready=False)], on("n1", "x", "y"), INFORMATION, id="one ready"),
        pytest.param(
            list(NODES.values()), on("n1", "x"), "Insufficient number of endpoints (1 endpoints, 2 zones)",
            id="few",
        ),
        pytest.param(
            [node("n1", "a", "2"), node("n2", "b", "1")], [*on("n1", "x"), *on("n2", "y")],
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
            "(2 endpoints, 2 zones)", id="overload",
        ),
        pytest.param(
            [*NODES.values(), node("n3", "", ready=False)], [*on("n1", "x"), *on("n3", "y")],
            "One or more endpoints do not have a zone specified", id="an endpoint without zone",
        ),
    ],
)  # fmt: skip
def test_no_hints_rather_than_bad_ones(nodes: list[Object], pods: list[Object], why: str) -> None:
    plan = plan_slices(service(AUTO), pods, [], {each["metadata"]["name"]: each for each in nodes})
    assert hints(plan.create) == {} and not plan.proportional
    assert plan.events == [("Warning", "TopologyAwareHintsDisabled", f"{why}, addressType: IPv4")]


def test_masters_do_not_count() -> None:
    master = node("m", "c", **{"node-role.kubernetes.io/control-plane": ""})
    assert weigh_zones([*NODES.values(), master]) == {"a": 0.5, "b": 0.5}


ZONES = st.lists(st.integers(1, 64), min_size=2, max_size=5).map(
    lambda cpus: {f"z{i}": cpu / sum(cpus) for i, cpu in enumerate(cpus)}
)


@given(zones=ZONES, spread=st.lists(st.integers(0, 4), max_size=60), lost=st.integers(0, 59))
@example(zones={f"z{i}": cpu / 22 for i, cpu in enumerate([1, 1, 2, 16, 2])}, spread=[0] * 11, lost=0)
def test_shares_are_kept(zones: dict[str, float], spread: list[int], lost: int) -> None:
    """No zone lacks more than one endpoint of its least, and a change of one endpoint moves few others.

    The one is upstream's: each zone's wish is rounded up to its least, so that the wishes together can be more than
    there is, and the zone that is served last goes without. In the example all have their least but one, which has 0.
    """
    names = sorted(zones)
    conditions = {"ready": True}
    endpoints = {f"u{i}": {"zone": names[z % len(names)], "conditions": conditions} for i, z in enumerate(spread)}
    try:
        first = allocate(endpoints, {}, zones)
    except Unfit:
        return
    counts = Counter(first.values())
    assert set(first) == set(endpoints)
    for zone, ratio in zones.items():
        assert counts[zone] >= ratio * len(spread) / (1 + OVERLOAD) - 1 - 1e-9
    assert allocate(endpoints, first, zones) == first
    endpoints.pop(f"u{lost}", None)
    try:
        second = allocate(endpoints, first, zones)
    except Unfit:
        return
    assert sum(second[uid] != first[uid] for uid in second) <= len(zones)


def test_what_a_zone_may_have_leaves_the_others_their_least() -> None:
    shares = plan_shares({"a": 0.75, "b": 0.25}, 8)
    assert (shares["a"].most, shares["b"].most) == (6, 3) and shares["a"].desired == 6
