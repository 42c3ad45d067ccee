"""What a deletion makes of an object that waits for its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery.api.catalogue import DEPLOYMENTS, PODS, Resource
from apimachinery.meta.status import ApiError
from controlplane.apiserver.registry.delete import DeleteOptions, check_preconditions, delete_options, mark
from controlplane.apiserver.strategies.pod import PodStrategy

NOW = datetime(2026, 1, 2, 12, 0, 10, 500_000, tzinfo=UTC)
STRATEGY = PodStrategy(PODS)


def pod(*, grace: int | None = None, ends: str = "", phase: str = "Running", **more: Any) -> dict[str, Any]:
    metadata = {"name": "web", "finalizers": ["example.com/keep"], **more}
    if grace is not None:
        metadata |= {"deletionGracePeriodSeconds": grace, "deletionTimestamp": f"2026-01-02T12:{ends}Z"}
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 30}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("obj", "asked", "grace", "ends"),
    [
        (pod(), None, 30, "00:40"),
        (pod(), 5, 5, "00:15"),
        (pod(phase="Succeeded"), None, 0, "00:10"),
        (pod(grace=60, ends="01:05"), 10, 10, "00:15"),
        (pod(grace=60, ends="01:00"), 5, 5, "00:05"),
        (pod(grace=60, ends="01:05"), 0, 0, "00:05"),
        (pod(grace=0, ends="00:05"), 20, 0, "00:05"),
        (pod(grace=0, ends="00:30"), None, 0, "00:10"),
    ],
    ids=["first", "asked", "over", "shorter", "shorter-than-gone-by", "at-once", "held", "held-from-later"],
)
def test_when_a_pod_ends(obj: dict[str, Any], asked: int | None, grace: int, ends: str) -> None:
    marked = mark(STRATEGY, obj, DeleteOptions(grace=asked), NOW)
    assert marked is not None
    found = marked["metadata"]
    assert (found["deletionGracePeriodSeconds"], found["deletionTimestamp"]) == (grace, f"2026-01-02T12:{ends}Z")


@pytest.mark.parametrize(
    ("grace", "ends"), [((1 << 63) - 1, "2026-01-02T12:00:09Z"), (10**10, "1758-05-04T06:12:16Z")], ids=str
)
def test_a_grace_of_more_years_than_times_have(grace: int, ends: str) -> None:
    marked = mark(STRATEGY, pod(), DeleteOptions(grace=grace), NOW)
    assert marked is not None and marked["metadata"]["deletionGracePeriodSeconds"] == grace
    assert marked["metadata"]["deletionTimestamp"].startswith(ends)


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
@pytest.mark.parametrize("asked", [None, 60, 90])
def test_an_end_that_is_awaited_is_not_put_off_nor_changed(phase: str, asked: int | None) -> None:
    """Nor by the grace of its specification, which the first deletion overruled."""
    obj = pod(grace=60, ends="01:05", phase=phase)
    assert mark(STRATEGY, obj, DeleteOptions(grace=asked, propagation="Foreground"), NOW) is obj


def test_without_grace_it_is_gone() -> None:
    for obj in (pod(finalizers=[]), pod(grace=60, ends="01:05", finalizers=[])):
        assert mark(STRATEGY, obj, DeleteOptions(grace=0), NOW) is None


@pytest.mark.parametrize(
    ("resource", "options", "told"),
    [
        (
            PODS,
            DeleteOptions(uid="v"),
            'Pod "web": the UID in the precondition (v) does not match the UID in record (u)',
        ),
        (
            DEPLOYMENTS,
            delete_options({"preconditions": {"resourceVersion": ""}}, {}),
            'Deployment.apps "web": the ResourceVersion in the precondition ()',
        ),
        (
            PODS,
            delete_options(None, {"uid": ""}),
            'Pod "web": the UID in the precondition () does not match the UID in record (u)',
        ),
    ],
)
def test_who_means_another_object_is_told_of_its_kind(resource: Resource, options: DeleteOptions, told: str) -> None:
    obj = pod(uid="u", resourceVersion="8")
    with pytest.raises(ApiError) as refused:
        check_preconditions(resource, obj, options)
    assert refused.value.code == 409
    assert refused.value.message.startswith(f"Operation cannot be fulfilled on {told}")
