"""The graph of owners, the garbage collector's verdicts, and what a terminating namespace says."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.api.catalogue import DEPLOYMENTS, PODS, REPLICASETS
from controlplane.controllers.namespace import Remains, plan_conditions
from controlplane.controllers.owners_plan import Absent, Owners, plan_deletion
from controlplane.controllers.ownership_graph import FOREGROUND, OwnershipGraph
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, controller_ref, pod, replica_set

Object = dict[str, Any]
REF: Object = {"uid": "u"}


@pytest.mark.parametrize(
    ("owners", "dependents", "finalizers", "expected"),
    [
        pytest.param(Owners(), False, (), None, id="no owners"),
        pytest.param(Owners(solid=[REF]), False, (), None, id="kept"),
        pytest.param(Owners(solid=[REF], dangling=[REF]), False, (), None, id="one of two is left"),
        pytest.param(Owners(dangling=[REF]), False, (), "Background", id="all gone"),
        pytest.param(Owners(dangling=[REF]), True, ("orphan",), "Orphan", id="asked to orphan"),
        pytest.param(Owners(dangling=[REF]), True, (FOREGROUND,), "Foreground", id="asked for foreground"),
        pytest.param(Owners(waiting=[REF]), True, (), "Foreground", id="owner waits, and there are dependents"),
        pytest.param(Owners(waiting=[REF]), False, (), "Background", id="owner waits for a leaf"),
    ],
)
def test_how_to_delete(owners: Owners, dependents: bool, finalizers: tuple[str, ...], expected: str | None) -> None:
    assert plan_deletion(owners, has_dependents=dependents, finalizers=frozenset(finalizers)) == expected


def test_dependents_are_looked_at_when_the_owner_goes() -> None:
    graph, owner = OwnershipGraph(), replica_set("rs", 1)
    graph.observe(REPLICASETS, owner)
    graph.observe(PODS, pod("a", owner=owner))
    assert graph.remove("uid-rs") == {"uid-a"}


def test_a_dependent_in_another_namespace_is_looked_at_once() -> None:
    graph, owner = OwnershipGraph(), replica_set("rs", 1)
    graph.observe(REPLICASETS, owner)
    foreign = pod("a", owner=owner)
    foreign["metadata"]["namespace"] = "other"
    assert graph.observe(PODS, foreign) == {"uid-a"}
    assert graph.observe(PODS, foreign) == set()
    assert graph.observe(PODS, pod("b", owner=owner)) == set()


def test_an_owner_never_seen_is_looked_up_itself() -> None:
    graph, owner = OwnershipGraph(), replica_set("rs", 1)
    assert graph.observe(PODS, pod("a", owner=owner)) == {"uid-rs"}
    virtual = graph.items["uid-rs"]
    assert (virtual.virtual, virtual.kind, virtual.namespace, virtual.name) == (True, "ReplicaSet", "default", "rs")
    graph.observe(REPLICASETS, owner)
    assert not graph.items["uid-rs"].virtual
    assert graph.items["uid-rs"].dependents == {"uid-a"}


def test_foreground_deletion_waits_for_blocking_dependents() -> None:
    graph, owner = OwnershipGraph(), replica_set("rs", 1)
    graph.observe(REPLICASETS, owner)
    graph.observe(PODS, pod("a", owner=owner))
    going = {**owner, "metadata": {**owner["metadata"], "deletionTimestamp": "t", "finalizers": [FOREGROUND]}}
    assert graph.observe(REPLICASETS, going) == {"uid-rs", "uid-a"}
    assert [item.uid for item in graph.blocking(graph.items["uid-rs"])] == ["uid-a"]
    assert graph.remove("uid-a") == {"uid-rs"}
    assert graph.blocking(graph.items["uid-rs"]) == []


def test_who_misnames_an_owner_is_looked_at() -> None:
    graph, owner = OwnershipGraph(), replica_set("rs", 1)
    graph.observe(REPLICASETS, owner)
    misnaming = pod("a", owner=owner)
    misnaming["metadata"]["ownerReferences"] = [{**controller_ref(owner), "name": "another"}]
    assert graph.observe(PODS, misnaming) == {"uid-a"}
    assert graph.observe(PODS, pod("b", owner=owner)) == set()


def test_absence_is_of_a_name_not_of_a_uid_alone() -> None:
    absent, right = Absent(), {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "u"}
    absent.note(("v1", "Secret", "owner", "u", "default"))
    absent.note(("v1", "ConfigMap", "owner", "u", "other"))
    assert not absent.holds(right, "default")
    assert absent.holds(right, "other") and absent.holds({**right, "kind": "Secret"}, "default")
    absent.note(("v1", "Node", "n", "u", ""))
    assert absent.copy().holds({**right, "kind": "Node", "name": "n"}, "default")


def test_a_forgotten_virtual_owner_leaves_no_trace() -> None:
    graph, owner = OwnershipGraph(), replica_set("rs", 1)
    graph.observe(PODS, pod("a", owner=owner))
    graph.remove("uid-a")
    assert graph.items == {}


def test_a_cycle_of_owners_is_no_endless_walk() -> None:
    graph = OwnershipGraph()
    first, second = replica_set("a", 1), replica_set("b", 1)
    first["metadata"]["ownerReferences"] = [controller_ref(second)]
    second["metadata"]["ownerReferences"] = [controller_ref(first)]
    graph.observe(DEPLOYMENTS, first)
    graph.observe(DEPLOYMENTS, second)
    assert graph.remove("uid-a") == {"uid-b"}
    assert graph.remove("uid-b") == set()


def test_a_terminating_namespace_says_what_it_waits_for() -> None:
    remains = Remains()
    remains.content["pods."] = 2
    remains.finalizers["example.com/hold"] = 1
    found = {c["type"]: c for c in plan_conditions({"status": {}}, remains, "", NOW)}
    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: pods. has 2 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    assert found["NamespaceDeletionContentFailure"]["status"] == "False"
    assert not remains.empty
    remains.failures += ["second", "first"]
    found = {c["type"]: c for c in plan_conditions({"status": {}}, remains, "what is missing", NOW)}
    assert found["NamespaceDeletionDiscoveryFailure"]["message"] == "what is missing"
    failed = "Failed to delete all resource types, 2 remaining: first, second"
    assert found["NamespaceDeletionContentFailure"]["message"] == failed
