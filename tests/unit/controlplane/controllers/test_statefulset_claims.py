"""Who owns a claim, under each retention policy, wanted or one too many."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.controllers.statefulset_claims import claim_names, has_other_controller, is_stale, plan_owners

Object = dict[str, Any]


def stateful_set(**policy: str) -> Object:
    spec = {
        "replicas": 1,
        "persistentVolumeClaimRetentionPolicy": policy,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
    }
    return {"metadata": {"name": "web", "namespace": "n", "uid": "set"}, "spec": spec}


def pod(number: int) -> Object:
    return {"metadata": {"name": f"web-{number}", "namespace": "n", "uid": f"pod-{number}"}}


def claim(*owners: Object) -> Object:
    return {"metadata": {"name": "data-web-0", "namespace": "n", "ownerReferences": list(owners)}}


@pytest.mark.parametrize(
    ("deleted", "scaled", "number", "owner"),
    [
        ("Retain", "Retain", 0, None),
        ("Retain", "Retain", 1, None),
        ("Delete", "Retain", 0, "set"),
        ("Delete", "Retain", 1, "set"),
        ("Retain", "Delete", 0, None),
        ("Retain", "Delete", 1, "pod-1"),
        ("Delete", "Delete", 0, "set"),
        ("Delete", "Delete", 1, "pod-1"),
    ],
)
def test_the_owner(deleted: str, scaled: str, number: int, owner: str | None) -> None:
    of, by = stateful_set(whenDeleted=deleted, whenScaled=scaled), pod(number)
    foreign = {"kind": "X", "uid": "x"}
    planned = plan_owners(of, by, claim(foreign))
    if owner is None:
        assert planned is None
        return
    assert planned is not None
    assert [each["uid"] for each in planned] == ["x", owner] and planned[1]["controller"] is True
    assert plan_owners(of, by, claim(*planned)) is None


SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "set"}
POD = {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "pod-0"}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "controller": True}
DELETES = {"whenDeleted": "Delete", "whenScaled": "Delete"}


@pytest.mark.parametrize("number", [0, 1])
def test_a_claim_of_another_controller_is_left_to_it(number: int) -> None:
    deletes = stateful_set(**DELETES)
    assert has_other_controller(deletes, number, claim(OTHER)) and not has_other_controller(deletes, 0, claim(SET))
    assert plan_owners(deletes, pod(number), claim(OTHER)) is None
    assert plan_owners(deletes, pod(number), claim(OTHER, {**SET, "controller": False})) == [OTHER]
    assert not has_other_controller(stateful_set(), number, claim(OTHER))


def test_a_claim_of_an_earlier_owner_of_the_name_is_left_to_the_garbage_collector() -> None:
    for earlier in ({**SET, "uid": "old"}, {**POD, "uid": "old"}):
        assert plan_owners(stateful_set(**DELETES), pod(0), claim(earlier)) is None


def test_a_policy_that_is_taken_back() -> None:
    owned = claim(SET, {"kind": "X", "uid": "x"})
    assert plan_owners(stateful_set(), pod(0), owned) == [{"kind": "X", "uid": "x"}]


def test_claims_that_go_with_their_pod() -> None:
    assert claim_names(stateful_set(), 3) == ["data-web-3"]
    deletes = stateful_set(**DELETES)
    assert is_stale(deletes, 0, claim(POD)) and not is_stale(deletes, 0, claim(SET))
    assert not is_stale(deletes, 1, claim(POD)), "it is another pod's"
    assert not is_stale(stateful_set(), 0, claim(POD)), "claims are kept"
