"""The local-path provisioner's volumes, helper pods and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apimachinery.api.catalogue import PERSISTENTVOLUMES, PODS
from apimachinery.api.defaults import apply
from apimachinery.api.validation import validate_create
from apimachinery.meta import volumes
from apimachinery.meta.provisioning import is_retained
from controlplane.controllers import local_path_plan as plan

Object = dict[str, Any]
NODE: Object = {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "host-1"}}}


def claim(**more: Any) -> Object:
    annotations = {volumes.SELECTED_NODE: "n1", volumes.STORAGE_PROVISIONER: plan.PROVISIONER}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **more}
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "u-1", "annotations": annotations}, "spec": spec}


def storage_class(**parameters: str) -> Object:
    return {"metadata": {"name": "s"}, "provisioner": plan.PROVISIONER, "parameters": parameters}


def test_the_volume_is_a_directory_of_the_node() -> None:
    made = plan.render_volume(claim(), storage_class(), NODE)
    apply(PERSISTENTVOLUMES, made)
    assert validate_create(PERSISTENTVOLUMES, made) == []
    assert made["metadata"]["name"] == "pvc-u-1"
    assert made["spec"]["local"] == {"path": "/opt/local-path-provisioner/pvc-u-1_ns_c"}
    assert volumes.reaches(made, {"kubernetes.io/hostname": "host-1"})
    assert not volumes.reaches(made, {"kubernetes.io/hostname": "host-2"})
    assert volumes.is_bound_to(made, claim())


@pytest.mark.parametrize("remove", [False, True])
def test_helpers_are_valid_and_see_the_parent_only(remove: bool) -> None:
    volume = plan.render_volume(claim(), storage_class(nodePath="/srv/x"), NODE)
    helper = plan.render_remover(volume, "n1") if remove else plan.render_creator(claim(), volume, "n1")
    apply(PODS, helper)
    assert validate_create(PODS, helper) == []
    assert [each["hostPath"]["path"] for each in helper["spec"]["volumes"]] == ["/srv/x"]
    if not remove:
        assert json.loads(helper["metadata"]["annotations"][plan.VOLUME_ANNOTATION]) == volume


@pytest.mark.parametrize(
    ("asked", "of", "text"),
    [
        (claim(accessModes=["ReadWriteMany"]), storage_class(), "NodePath only supports ReadWriteOnce"),
        (claim(volumeMode="Block"), storage_class(), "Block is not supported"),
        (claim(selector={}), storage_class(), "claim.Spec.Selector is not supported"),
        (claim(), storage_class(nodePath="srv"), "invalid nodePath 'srv'"),
        (claim(), storage_class(nodePath="/"), "invalid nodePath '/'"),
        (claim(), storage_class(nodePath="/a/../etc"), "invalid nodePath"),
    ],
)
def test_what_a_directory_cannot_be(asked: Object, of: Object, text: str) -> None:
    with pytest.raises(plan.Refusal, match=text):
        plan.check(asked, of)


def test_a_claim_without_a_node_is_refused() -> None:
    asked = claim()
    del asked["metadata"]["annotations"][volumes.SELECTED_NODE]
    with pytest.raises(plan.Refusal, match="no node was specified"):
        plan.check(asked, storage_class())


@pytest.mark.parametrize(
    ("phase", "policy", "deleted", "wanted"),
    [
        ("Bound", "Delete", False, False),
        ("Bound", "Delete", True, False),
        ("Pending", "Delete", True, False),
        ("Released", "Delete", False, True),
        ("Released", "Retain", False, False),
        ("Released", "Retain", True, True),
        ("Failed", "Delete", False, True),
    ],
)
def test_a_directory_goes_only_when_nobody_uses_it(phase: str, policy: str, deleted: bool, wanted: bool) -> None:
    volume = plan.render_volume(claim(), {**storage_class(), "reclaimPolicy": policy}, NODE)
    volume["status"] = {"phase": phase}
    if deleted:
        volume["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert plan.is_to_be_deleted(volume) is wanted
    assert is_retained(volume) is (policy == "Retain")
