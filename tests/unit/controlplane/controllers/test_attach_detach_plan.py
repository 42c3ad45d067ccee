"""What is attached and detached, case by case (attachdetach/reconciler/reconciler.go)."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.meta import attachments
from controlplane.controllers.attach_detach_plan import (
    MAX_WAIT_FOR_UNMOUNT,
    NodePlan,
    Wanted,
    multi_attach_text,
    needs_volume,
    plan_node,
    render_attachment,
)

Object = dict[str, Any]
HANDLE = "vol-1"
UNIQUE = "kubernetes.io/csi/disk.kubelab.io^vol-1"


def volume(*modes: str) -> Object:
    csi = {"driver": "disk.kubelab.io", "volumeHandle": HANDLE}
    return {"metadata": {"name": "pv"}, "spec": {"csi": csi, "accessModes": [*modes] or ["ReadWriteOnce"]}}


def pod(name: str = "p", namespace: str = "ns", **status: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace, "uid": name}, "spec": {}, "status": status}


def node(*, in_use: bool = False, reported: bool = False, ready: bool = True, taint: str = "") -> Object:
    status: Object = {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]}
    if in_use:
        status["volumesInUse"] = [UNIQUE]
    if reported:
        status["volumesAttached"] = [{"name": UNIQUE, "devicePath": attached()["metadata"]["name"]}]
    return {"metadata": {"name": "n"}, "spec": {"taints": [{"key": taint}] if taint else []}, "status": status}


def attached(*, yes: bool = True, deleting: bool = False) -> Object:
    made = render_attachment(volume(), "n")
    if deleting:
        made["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    return {**made, "status": {"attached": yes}}


def plan(
    of: Object | None,
    own: list[Object],
    *modes: str,
    wanted: bool = True,
    others: tuple[str, ...] = (),
    waited: float = 0.0,
    force: bool = True,
) -> NodePlan:
    behind = volume(*modes)
    asked = {"pv": Wanted(behind, (pod(),))} if wanted else {}
    held = {"pv": others} if others else {}
    return plan_node(of, asked, own, held, lambda _: waited, {"pv": behind}.get, force=force)


def summary(planned: NodePlan) -> str:
    """One word for each thing that is to be done."""
    words = ["attach"] * len(planned.attach)
    words += ["force" if each.forced else "detach" for each in planned.detach]
    words += [f"refused:{','.join(nodes)}" for nodes in (planned.refused or {}).values()]
    words += ["report"] * len(planned.report) + ["fresh"] * len(planned.fresh)
    return " ".join([*words, *([f"again:{planned.again:g}"] if planned.again is not None else [])])


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        pytest.param(plan(node(), []), "attach", id="a pod needs it"),
        pytest.param(plan(None, []), "", id="a node that is not there gets nothing"),
        pytest.param(plan(node(), [], others=("m",)), "refused:m", id="another node has it"),
        pytest.param(plan(node(), [], "ReadWriteOncePod", others=("m",)), "refused:m", id="also of one pod alone"),
        pytest.param(plan(node(), [], "ReadWriteMany", others=("m",)), "attach", id="shared by many writers"),
        pytest.param(plan(node(), [], "ReadOnlyMany", others=("m",)), "attach", id="shared by many readers"),
        pytest.param(plan(node(), [attached(yes=False)]), "", id="the driver is at it"),
        pytest.param(plan(node(), [attached()]), "report fresh", id="attached a moment ago"),
        pytest.param(plan(node(reported=True), [attached()]), "report", id="attached and told"),
        pytest.param(plan(node(reported=True), [attached(deleting=True)]), "", id="going away, wanted again"),
        pytest.param(plan(node(reported=True), [attached()], wanted=False), "detach", id="nobody needs it"),
        pytest.param(plan(node(), [attached(yes=False)], wanted=False), "detach", id="nobody waits for it any more"),
        pytest.param(
            plan(node(in_use=True, reported=True), [attached()], wanted=False), "report", id="still mounted, healthy"
        ),
        pytest.param(
            plan(node(in_use=True, reported=True), [attached()], wanted=False, waited=MAX_WAIT_FOR_UNMOUNT + 1),
            "report",
            id="healthy nodes are waited for without end",
        ),
        pytest.param(
            plan(node(in_use=True, reported=True, ready=False), [attached()], wanted=False, waited=60),
            "report again:300",
            id="silent for a minute",
        ),
        pytest.param(
            plan(node(in_use=True, ready=False), [attached()], wanted=False, waited=MAX_WAIT_FOR_UNMOUNT),
            "force",
            id="silent for six minutes",
        ),
        pytest.param(
            plan(node(in_use=True, ready=False, reported=True), [attached()], wanted=False, waited=1e6, force=False),
            "report",
            id="force detach is disabled",
        ),
        pytest.param(
            plan(node(in_use=True, ready=False, taint="node.kubernetes.io/out-of-service"), [attached()], wanted=False),
            "force",
            id="out of service",
        ),
        pytest.param(plan(None, [attached()], wanted=False), "report fresh again:360", id="the node is gone"),
        pytest.param(plan(None, [attached()], wanted=False, waited=400), "force", id="the node is gone for long"),
        pytest.param(plan(node(), [attached(deleting=True)], wanted=False), "", id="being detached"),
    ],
)
def test_plan(planned: NodePlan, expected: str) -> None:
    assert summary(planned) == expected


def test_what_the_node_is_told() -> None:
    name = attachments.attachment_name(HANDLE, "disk.kubelab.io", "n")
    assert plan(node(), [attached()]).report == ({"name": UNIQUE, "devicePath": name},)


def test_a_volume_that_is_gone_is_known_by_what_the_node_was_told() -> None:
    """A PersistentVolume may be deleted by force; what the node has of it is still not torn out of its hands."""
    of = node(in_use=True, reported=True)
    kept = plan_node(of, {}, [attached()], {}, lambda _: 0.0, lambda _: None)
    assert summary(kept) == "report"


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], "Volume is already exclusively attached to one node and can't be attached to another"),
        ([pod("a"), pod("b")], "Volume is already used by pod(s) a, b"),
        ([pod("a"), pod("x", "far")], "Volume is already used by pod(s) a and 1 pod(s) in different namespaces"),
        ([pod("x", "far")], "Volume is already used by 1 pod(s) in different namespaces"),
    ],
)
def test_multi_attach(others: list[Object], expected: str) -> None:
    assert multi_attach_text("pv", pod(), others) == f'Multi-Attach error for volume "pv" {expected}'


def _deleted(*states: str) -> Object:
    found = pod(phase="Running", containerStatuses=[{"state": {state: {}}} for state in states])
    found["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    return found


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(pod(phase="Pending"), True, id="pending"),
        pytest.param(pod(phase="Succeeded"), False, id="succeeded"),
        pytest.param(pod(phase="Failed"), False, id="failed"),
        pytest.param(_deleted("terminated", "running"), True, id="being deleted, one container runs"),
        pytest.param(_deleted("terminated", "waiting"), False, id="being deleted, none runs"),
        pytest.param(_deleted(), False, id="being deleted, never started"),
    ],
)
def test_needs_volume(of: Object, expected: bool) -> None:
    assert needs_volume(of) is expected


def test_names_are_upstreams() -> None:
    """The name is a hash of handle, driver and node, joined without a separator."""
    assert (
        attachments.attachment_name("a", "b", "c")
        == "csi-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc" (FIPS 180-2)
    )
