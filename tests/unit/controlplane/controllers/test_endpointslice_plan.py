"""Which slices list which pods."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.controllers.endpointslice import is_stale
from controlplane.controllers.endpointslice_packing import MAX_ENDPOINTS
from controlplane.controllers.endpointslice_plan import SlicePlan, plan_slices, render_endpoint
from tests.unit.controlplane.controllers.objects_for_controllers import pod

Object = dict[str, Any]

NODES: dict[str, Object] = {"n1": {"metadata": {"name": "n1"}}}


def service(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-svc", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "clusterIP": "10.96.0.7",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
            "ipFamilies": ["IPv4"],
            **spec,
        },
    }


def stored(plan: SlicePlan, existing: list[Object]) -> list[Object]:
    """Apply a plan as the API server would."""
    gone = {each["metadata"]["name"] for each in (*plan.delete, *plan.update)}
    kept = [each for each in existing if each["metadata"]["name"] not in gone] + plan.update
    for each in plan.create:
        number = len(kept) + sum(ord(c) for each in kept for c in each["metadata"]["name"])
        kept.append({**each, "metadata": {**each["metadata"], "name": f"web-{number}"}})
    return kept


@pytest.mark.parametrize(
    ("candidate", "conditions"),
    [
        pytest.param(pod("a", ready=True), (True, True, False), id="ready"),
        pytest.param(pod("a"), (False, False, False), id="not ready"),
        pytest.param(pod("a", ready=True, deleting=True), (False, True, True), id="draining"),
        pytest.param(pod("a", deleting=True), (False, False, True), id="terminating"),
    ],
)
def test_conditions(candidate: Object, conditions: tuple[bool, bool, bool]) -> None:
    endpoint = render_endpoint(service(), candidate, ["10.244.1.5"], {})
    assert tuple(endpoint["conditions"][k] for k in ("ready", "serving", "terminating")) == conditions


def test_publish_not_ready_addresses() -> None:
    endpoint = render_endpoint(service(publishNotReadyAddresses=True), pod("a"), ["10.244.1.5"], {})
    assert endpoint["conditions"]["ready"] is True


def test_one_slice_with_labels_ports_and_references() -> None:
    plan = plan_slices(service(), [pod("a", ready=True)], [], NODES)
    (made,) = plan.create
    assert made["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert made["endpoints"][0]["nodeName"] == "n1"
    assert made["endpoints"][0]["targetRef"]["uid"] == "uid-a"
    assert made["metadata"]["generateName"] == "web-"


def test_named_target_ports_may_differ_between_pods() -> None:
    by_name = service(ports=[{"port": 80, "targetPort": "http"}])
    old = pod("old", containers=[{"name": "m", "ports": [{"name": "http", "containerPort": 80}]}])
    new = pod("new", containers=[{"name": "m", "ports": [{"name": "http", "containerPort": 8080}]}])
    plan = plan_slices(by_name, [old, new], [], NODES)
    assert sorted(each["ports"][0]["port"] for each in plan.create) == [80, 8080]


def test_finished_and_unaddressed_pods_are_no_endpoints() -> None:
    plan = plan_slices(service(), [pod("a", phase="Succeeded"), pod("b", ip=None)], [], NODES)
    (placeholder,) = plan.create
    assert placeholder["endpoints"] == []


def test_an_unchanged_service_writes_nothing() -> None:
    pods = [pod(f"p{i}", ready=True) for i in range(250)]
    existing = stored(plan_slices(service(), pods, [], NODES), [])
    assert [len(each["endpoints"]) for each in existing] == [100, 100, 50]
    assert plan_slices(service(), pods, existing, NODES) == SlicePlan()


def test_one_changed_pod_rewrites_one_slice() -> None:
    pods = [pod(f"p{i}", ready=True) for i in range(250)]
    existing = stored(plan_slices(service(), pods, [], NODES), [])
    pods[120] = pod("p120", ready=False)
    plan = plan_slices(service(), pods, existing, NODES)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)


def test_a_slice_that_is_not_needed_becomes_one_that_is() -> None:
    """The first endpoint and the last, and other ports: the slice keeps its name, and there is always one."""
    existing = stored(plan_slices(service(), [], [], NODES), [])
    (empty,) = existing
    for pods, changed in (
        ([pod("a", ready=True)], service()),
        ([pod("a", ready=True)], service(ports=[{"port": 80, "targetPort": 9090}])),
        ([], service()),
    ):
        plan = plan_slices(changed, pods, existing, NODES)
        assert (plan.create, plan.delete) == ([], []) and len(plan.update) == 1
        existing = stored(plan, existing)
        (now,) = existing
        assert now["metadata"]["name"] == empty["metadata"]["name"]
        assert [each["targetRef"]["name"] for each in now["endpoints"]] == [each["metadata"]["name"] for each in pods]
    assert now["ports"] == empty["ports"] == []
    assert plan_slices(service(), [], existing, NODES) == SlicePlan()


def test_what_is_new_goes_together_into_one_slice() -> None:
    """A slice that is not written anyway is filled only when it holds all of it; otherwise there is a new one."""
    pods = [pod(f"p{i}", ready=True) for i in range(195)]
    existing = stored(plan_slices(service(), pods, [], NODES), [])
    more = [pod(f"q{i}", ready=True) for i in range(10)]
    plan = plan_slices(service(), pods + more[:5], existing, NODES)
    assert (len(plan.create), [len(each["endpoints"]) for each in plan.update]) == (0, [100])
    plan = plan_slices(service(), pods + more, existing, NODES)
    assert ([len(each["endpoints"]) for each in plan.create], plan.update) == ([10], [])
    pods[194] = pod("p194")
    plan = plan_slices(service(), pods + more, existing, NODES)
    assert [len(each["endpoints"]) for each in (*plan.create, *plan.update)] == [5, 100]


def test_the_order_of_ports_changes_nothing() -> None:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    existing = stored(plan_slices(service(ports=ports), [pod("a")], [], NODES), [])
    assert plan_slices(service(ports=ports[::-1]), [pod("a")], existing, NODES) == SlicePlan()


def test_slices_of_an_earlier_service_are_not_taken_over() -> None:
    existing = stored(plan_slices(service(), [pod("a")], [], NODES), [])
    again = service()
    again["metadata"]["uid"] = "another"
    plan = plan_slices(again, [pod("a")], existing, NODES)
    assert (len(plan.create), plan.update, plan.delete) == (1, [], existing)
    assert plan.create[0]["metadata"]["ownerReferences"][0]["uid"] == "another"


def test_a_pod_without_a_node_is_no_endpoint_unless_every_address_is_asked_for() -> None:
    pods = [pod("a", ready=True), pod("b", ready=True, node="gone")]
    plan = plan_slices(service(), pods, [], NODES)
    assert [each["targetRef"]["name"] for each in plan.create[0]["endpoints"]] == ["a"] and plan.unplaced == [pods[1]]
    plan = plan_slices(service(publishNotReadyAddresses=True), pods, [], NODES)
    assert len(plan.create[0]["endpoints"]) == 2 and plan.unplaced == []


def test_slices_are_as_long_as_they_may_be() -> None:
    pods = [pod(f"p{i}") for i in range(7)]
    existing = stored(plan_slices(service(), pods, [], NODES, most=3), [])
    assert sorted(len(each["endpoints"]) for each in existing) == [1, 3, 3]
    longer = stored(plan_slices(service(), pods, [], NODES), [])
    plan = plan_slices(service(), [*pods, pod("more")], longer, NODES, most=3)
    assert [len(each["endpoints"]) for each in plan.create] == [1] and plan.update == []


def test_a_service_that_goes_keeps_its_slices_right_and_gets_no_more() -> None:
    pods = [pod(f"p{i}", ready=True) for i in range(100)]
    existing = stored(plan_slices(service(), pods, [], NODES), [])
    going = service()
    going["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    plan = plan_slices(going, [pod("p0"), *pods[1:], pod("more")], existing, NODES)
    assert plan.create == [] and plan.update[0]["endpoints"][0]["conditions"]["ready"] is False


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sets(st.integers(0, 259), max_size=260), min_size=1, max_size=5))
def test_slices_always_list_each_pod_once(rounds: list[set[int]]) -> None:
    existing: list[Object] = []
    for present in rounds:
        existing = stored(plan_slices(service(), [pod(f"p{i}") for i in sorted(present)], existing, NODES), existing)
        listed = [e["targetRef"]["uid"] for each in existing for e in each["endpoints"]]
        assert sorted(listed) == sorted(f"uid-p{i}" for i in present)
        assert all(len(each["endpoints"]) <= MAX_ENDPOINTS for each in existing)
        assert len(existing) >= 1


def test_slices_older_than_our_last_write_are_not_planned_with() -> None:
    shown = [{"metadata": {"uid": "a", "generation": 3}}, {"metadata": {"uid": "b", "generation": 1}}]
    assert not is_stale(shown, {})
    assert not is_stale(shown, {"a": 3, "gone": 9})
    assert is_stale(shown, {"a": 3, "b": 2})
