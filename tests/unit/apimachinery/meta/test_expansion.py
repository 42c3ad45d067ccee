"""A claim's status while its volume grows, step by step (KEP-284, KEP-1790)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS
from apimachinery.api.validation import validate_status_update
from apimachinery.meta import expansion

Object = dict[str, Any]
NOW = datetime(2025, 1, 1, tzinfo=UTC)
LATER = datetime(2025, 1, 2, tzinfo=UTC)


def claim(**status: Any) -> Object:
    return {
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "volumeName": "v"},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **status},
    }


def test_from_asked_to_done() -> None:
    found = claim(conditions=[{"type": "Foreign", "status": "True"}])
    shown = []
    steps: list[Callable[[Object], Object]] = [
        lambda each: expansion.begun(each, "2Gi", NOW),
        lambda each: expansion.failed(each, expansion.CONTROLLER_IN_PROGRESS, expansion.CONTROLLER_ERROR, "no", NOW),
        lambda each: expansion.waits_for_node(each, LATER),
        lambda each: expansion.failed(each, expansion.NODE_IN_PROGRESS, expansion.NODE_ERROR, "no", LATER),
        lambda each: expansion.done(each, "2Gi"),
    ]
    for step in steps:
        fresh = expansion.with_status(found, step(found))
        assert validate_status_update(PERSISTENTVOLUMECLAIMS, fresh, found) == []
        found = fresh
        kinds = [each["type"] for each in found["status"]["conditions"]]
        shown.append((expansion.state(found), kinds, found["status"]["capacity"]["storage"]))
    assert shown == [
        ("ControllerResizeInProgress", ["Foreign", "Resizing"], "1Gi"),
        ("ControllerResizeInProgress", ["Foreign", "ControllerResizeError"], "1Gi"),
        ("NodeResizePending", ["Foreign", "FileSystemResizePending"], "1Gi"),
        ("NodeResizeInProgress", ["Foreign", "NodeResizeError"], "1Gi"),
        ("", ["Foreign"], "2Gi"),
    ]
    assert found["status"]["allocatedResources"] == {"storage": "2Gi"}


def test_the_condition_keeps_when_it_began() -> None:
    once = claim()
    again = expansion.with_status(once, expansion.begun(once, "2Gi", NOW))
    (condition,) = expansion.begun(again, "3Gi", LATER)["conditions"]
    assert condition["lastTransitionTime"] == "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, True),
        ({"capacity": {"storage": "2Gi"}}, False),
        ({"capacity": {"storage": "2048Mi"}}, False),
        ({"capacity": {"storage": "3Gi"}}, False),
        ({"phase": "Lost"}, False),
    ],
)
def test_wants_more(status: Object, expected: bool) -> None:
    assert expansion.wants_more(claim(**status)) is expected
