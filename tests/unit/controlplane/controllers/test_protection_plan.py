"""Who holds a claim, and when the finalizers come and go."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.controllers.context import controller_facts
from controlplane.controllers.protection_plan import (
    PVC_PROTECTION,
    claims_of,
    is_candidate,
    needs_finalizer,
    plan_finalizers,
    uses_claim,
)
from tests.unit.controlplane.controllers.objects_for_controllers import ago, controller_ref, pod

Object = dict[str, Any]


def claim(name: str = "data", *finalizers: str, deleting: bool = False, owner: Object | None = None) -> Object:
    metadata: Object = {"name": name, "namespace": "default", "uid": "u", "finalizers": list(finalizers)}
    if deleting:
        metadata["deletionTimestamp"] = ago(1)
    if owner is not None:
        metadata["ownerReferences"] = [controller_ref(owner)]
    return {"metadata": metadata}


@pytest.mark.parametrize(
    ("of", "used", "expected"),
    [
        (claim("a", "x"), False, ["x", PVC_PROTECTION]),
        (claim("a", PVC_PROTECTION), False, None),
        (claim("a", PVC_PROTECTION, "x", deleting=True), True, None),
        (claim("a", PVC_PROTECTION, "x", deleting=True), False, ["x"]),
        (claim("a", PVC_PROTECTION, deleting=True), False, []),
        (claim("a", "x", deleting=True), False, None),
    ],
)
def test_finalizers(of: Object, used: bool, expected: list[str] | None) -> None:
    assert plan_finalizers(of, PVC_PROTECTION, used=used) == expected
    if expected is None and not used:
        assert not is_candidate(of, PVC_PROTECTION) and not needs_finalizer(of, PVC_PROTECTION)


MOUNTS = [
    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
    {"name": "config", "configMap": {"name": "data"}},
]


def test_who_holds_a_claim() -> None:
    holder = pod("web", volumes=MOUNTS)
    assert list(claims_of(holder)) == ["data", "web-scratch"]
    assert uses_claim(holder, claim("data"))
    assert not uses_claim(pod("web", node="", volumes=MOUNTS), claim("data"))
    assert not uses_claim(pod("web", namespace="other", volumes=MOUNTS), claim("data"))
    assert uses_claim(pod("web", phase="Succeeded", volumes=MOUNTS), claim("data"))
    assert not uses_claim(pod("web"), claim("data"))


def test_a_claim_made_for_one_pod() -> None:
    """Held by its owner only, and not by one that the kubelet is done with."""
    holder = pod("web", volumes=MOUNTS)
    assert uses_claim(holder, claim("web-scratch", owner=holder))
    assert not uses_claim(holder, claim("web-scratch"))
    over = pod("web", volumes=MOUNTS, deleting=True)
    assert uses_claim(over, claim("web-scratch", owner=holder))
    over["metadata"]["deletionGracePeriodSeconds"] = 0
    assert not uses_claim(over, claim("web-scratch", owner=holder))
    assert uses_claim(over, claim("data"))


def test_informers_keep_what_names_claims() -> None:
    trimmed = controller_facts(pod("web", volumes=[dict(each) for each in MOUNTS]))
    assert trimmed["spec"]["volumes"] == [MOUNTS[0], {"name": "scratch", "ephemeral": {}}]
    assert list(claims_of(trimmed)) == ["data", "web-scratch"]
    assert "volumes" not in controller_facts(pod("web", volumes=[dict(MOUNTS[2])]))["spec"]
