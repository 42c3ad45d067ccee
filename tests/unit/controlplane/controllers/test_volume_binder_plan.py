"""What becomes of claims and volumes: upstream's table of states (pv_controller.go), case by case."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.meta import volumes
from controlplane.controllers.volume_binder_plan import (
    ClaimPlan,
    compute_claim_status,
    mismatch,
    plan_bound,
    plan_named,
    plan_reclaim,
    plan_unbound,
    plan_volume,
    render_bound_claim,
    render_unbound,
)

Object = dict[str, Any]
REFERENCE = {"name": "c", "namespace": "ns", "uid": "u"}


def volume(**more: Any) -> Object:
    phase, annotations = more.pop("phase", "Available"), more.pop("annotations", {})
    spec = {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], **more}
    return {"metadata": {"name": "v", "annotations": annotations}, "spec": spec, "status": {"phase": phase}}


def claim(**more: Any) -> Object:
    annotations = more.pop("annotations", {})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **more}
    metadata = {"name": "c", "namespace": "ns", "uid": "u", "annotations": annotations}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def storage_class(provisioner: str = "example.com/p", mode: str = "Immediate") -> Object:
    return {"metadata": {"name": "s"}, "provisioner": provisioner, "volumeBindingMode": mode}


@pytest.mark.parametrize(
    ("asked", "of", "default", "waiting", "reason", "text"),
    [
        (
            claim(),
            None,
            None,
            [],
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class",
        ),
        (claim(storageClassName=""), None, storage_class(), [], "FailedBinding", "no storage class is set"),
        (
            claim(storageClassName="s"),
            None,
            None,
            [],
            "ProvisioningFailed",
            'storageclass.storage.k8s.io "s" not found',
        ),
        (
            claim(storageClassName="s"),
            storage_class("kubernetes.io/no-provisioner"),
            None,
            [],
            "ProvisioningFailed",
            "no volume plugin matched name: kubernetes.io/no-provisioner",
        ),
        (
            claim(storageClassName="s"),
            storage_class(),
            None,
            [],
            "ExternalProvisioning",
            "Waiting for a volume to be created either by the external provisioner 'example.com/p' or manually",
        ),
        (
            claim(storageClassName="s"),
            storage_class(mode="WaitForFirstConsumer"),
            None,
            [],
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding",
        ),
        (
            claim(storageClassName="s"),
            storage_class(mode="WaitForFirstConsumer"),
            None,
            ["p"],
            "WaitForPodScheduled",
            "waiting for pod p to be scheduled",
        ),
        (
            claim(storageClassName="s"),
            storage_class(mode="WaitForFirstConsumer"),
            None,
            ["p", "q"],
            "WaitForPodScheduled",
            "waiting for pods p,q to be scheduled",
        ),
        (
            claim(storageClassName="s", annotations={volumes.SELECTED_NODE: "n"}),
            storage_class(mode="WaitForFirstConsumer"),
            None,
            ["p"],
            "ExternalProvisioning",
            "Waiting for a volume",
        ),
    ],
)
def test_a_claim_that_finds_nothing_says_why(
    asked: Object, of: Object | None, default: Object | None, waiting: list[str], reason: str, text: str
) -> None:
    plan = plan_unbound(asked, [], of, default, waiting)
    assert plan.bind is None and plan.said is not None
    assert plan.said.reason == reason and text in plan.said.message


def test_no_volume_is_asked_for_without_dynamic_provisioning() -> None:
    asked = claim(storageClassName="s")
    assert plan_unbound(asked, [], storage_class(), None, []).provisioner
    for found in (storage_class(), None):
        assert plan_unbound(asked, [], found, None, [], provisioning=False) == ClaimPlan()


def test_a_claim_without_a_class_is_given_the_default_only_when_nothing_fits() -> None:
    assert plan_unbound(claim(), [], None, storage_class(), []).default_class == "s"
    assert plan_unbound(claim(), [volume()], None, storage_class(), []).bind == volume()


@pytest.mark.parametrize(
    ("held", "phase", "reason"),
    [
        (None, "Lost", "ClaimLost"),
        (volume(claimRef={**REFERENCE, "uid": "other"}), "Lost", "ClaimMisbound"),
        (volume(claimRef=REFERENCE), "", None),
        (volume(), "", None),
    ],
)
def test_a_bound_claim(held: Object | None, phase: str, reason: str | None) -> None:
    plan = plan_bound(claim(volumeName="v"), held)
    assert (plan.phase, plan.said.reason if plan.said else None) == (phase, reason)
    assert (plan.bind is not None) is (phase == "")
    assert plan_bound(claim(), held).phase == "Lost"


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (volume(capacity={"storage": "1Mi"}), 'Cannot bind to requested volume "v": requested PV is too small'),
        (volume(storageClassName="x"), 'Cannot bind to requested volume "v": storageClassName does not match'),
        (volume(volumeMode="Block"), 'Cannot bind to requested volume "v": incompatible volumeMode'),
        (volume(accessModes=[]), 'Cannot bind to requested volume "v": incompatible accessMode'),
        (volume(claimRef={**REFERENCE, "name": "d"}), 'volume "v" already bound to a different claim.'),
    ],
)
def test_a_named_volume_that_does_not_serve(held: Object, text: str) -> None:
    plan = plan_named(claim(volumeName="v"), held)
    assert plan.phase == "Pending" and plan.said is not None and plan.said.message == text


def test_a_named_volume_that_serves() -> None:
    assert mismatch(claim(), volume()) == "" and plan_named(claim(volumeName="v"), volume()).bind is not None
    assert plan_named(claim(volumeName="v"), volume(claimRef=REFERENCE)).bind is not None
    assert plan_named(claim(volumeName="v"), None).phase == "Pending"


def test_the_states_of_a_volume() -> None:
    taken = volume(claimRef=REFERENCE)
    assert plan_volume(volume(), None).phase == "Available"
    assert plan_volume(volume(claimRef={"name": "c", "namespace": "ns"}), None).phase == "Available"
    gone = plan_volume(taken, None)
    assert (gone.phase, gone.reclaim) == ("Released", True)
    failed = plan_volume(volume(claimRef=REFERENCE, phase="Failed"), None)
    assert (failed.phase, failed.reclaim) == ("", True)
    assert plan_volume(taken, claim()).wake
    assert plan_volume(taken, claim(volumeName="v")).phase == "Bound"
    assert plan_volume(taken, claim(volumeName="w")).unbind
    dynamic = volume(
        claimRef=REFERENCE,
        persistentVolumeReclaimPolicy="Delete",
        annotations={volumes.PROVISIONED_BY: "example.com/p"},
    )
    assert plan_volume(dynamic, claim(volumeName="w")).reclaim
    block = plan_volume(volume(claimRef=REFERENCE, volumeMode="Block"), claim())
    assert block.said is not None and block.claim_said is not None and not block.wake
    wanted = 'Cannot bind PersistentVolume to requested PersistentVolumeClaim "c" due to incompatible volumeMode.'
    assert block.said.message == wanted
    wanted = 'Cannot bind PersistentVolume "v" to requested PersistentVolumeClaim due to incompatible volumeMode.'
    assert block.claim_said.message == wanted


@pytest.mark.parametrize(
    ("policy", "by", "reason"),
    [
        ("Retain", "", None),
        ("Delete", "example.com/p", None),
        ("Delete", "", "VolumeFailedDelete"),
        ("Delete", "kubernetes.io/x", "VolumeFailedDelete"),
        ("Recycle", "", "VolumeFailedRecycle"),
        ("Odd", "", "VolumeUnknownReclaimPolicy"),
    ],
)
def test_reclaiming(policy: str, by: str, reason: str | None) -> None:
    annotations = {volumes.PROVISIONED_BY: by} if by else {}
    said = plan_reclaim(volume(persistentVolumeReclaimPolicy=policy, annotations=annotations))
    assert (said.reason if said else None) == reason


@pytest.mark.parametrize(
    ("spec", "by", "message"),
    [
        (
            {"nfs": {"server": "s", "path": "/"}},
            "",
            'error getting deleter volume plugin for volume "v": no deletable volume plugin matched',
        ),
        ({"hostPath": {"path": "/d"}}, "", "host_path deleter only supports /tmp/.+ but received provided /d"),
        (
            {"hostPath": {"path": "/tmp/d"}},
            "",
            'error getting deleter volume plugin for volume "v": no deletable volume plugin matched',
        ),
        ({}, "kubernetes.io/x", "no volume plugin matched name: kubernetes.io/x"),
    ],
)
def test_what_nobody_deletes(spec: Object, by: str, message: str) -> None:
    annotations = {volumes.PROVISIONED_BY: by} if by else {}
    said = plan_reclaim(volume(persistentVolumeReclaimPolicy="Delete", annotations=annotations, **spec))
    assert said is not None and (said.reason, said.message) == ("VolumeFailedDelete", message)


def test_a_binding_is_undone_as_it_was_made() -> None:
    ours = volume(claimRef=REFERENCE, annotations={volumes.BOUND_BY_CONTROLLER: "yes", "k": "v"})
    undone = render_unbound(ours)
    assert "claimRef" not in undone["spec"] and undone["metadata"]["annotations"] == {"k": "v"}
    theirs = render_unbound(volume(claimRef=REFERENCE))
    assert theirs["spec"]["claimRef"] == {"name": "c", "namespace": "ns"}


def test_a_claim_is_bound_once_and_gets_its_size_once() -> None:
    bound = render_bound_claim(claim(), volume())
    assert bound is not None and bound["spec"]["volumeName"] == "v"
    assert set(bound["metadata"]["annotations"]) == {volumes.BIND_COMPLETED, volumes.BOUND_BY_CONTROLLER}
    assert render_bound_claim(bound, volume()) is None
    named = render_bound_claim(claim(volumeName="v"), volume())
    assert named is not None and set(named["metadata"]["annotations"]) == {volumes.BIND_COMPLETED}
    status = compute_claim_status(bound, "Bound", volume())
    assert status["capacity"] == {"storage": "2Gi"}
    grown = compute_claim_status({**bound, "status": status}, "Bound", volume(capacity={"storage": "5Gi"}))
    assert grown["capacity"] == {"storage": "2Gi"}
    assert compute_claim_status({**bound, "status": status}, "Lost", None) == {"phase": "Lost"}
