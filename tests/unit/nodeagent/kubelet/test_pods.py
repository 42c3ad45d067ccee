"""Reading pods: which versions of one ask the same of the node."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from nodeagent.kubelet import pods

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
    "status": {"phase": "Pending"},
}
GATED: dict[str, Any] = {**POD, "spec": {**POD["spec"], "readinessGates": [{"conditionType": "ready/gate"}]}}


def _says(condition: str, status: str) -> Callable[[dict[str, Any]], object]:
    return lambda pod: pod["status"].update(conditions=[{"type": condition, "status": status}])


@pytest.mark.parametrize(
    ("before", "change", "same"),
    [
        (POD, lambda pod: pod["status"].update(phase="Running", podIP="10.0.0.1"), True),
        (POD, lambda pod: pod["metadata"].update(resourceVersion="2", managedFields=[{"manager": "kubelet"}]), True),
        (POD, _says("ready/gate", "True"), True),
        (GATED, _says("Ready", "True"), True),
        (GATED, _says("ready/gate", "True"), False),
        (POD, lambda pod: pod["metadata"].update(labels={"a": "c"}), False),
        (POD, lambda pod: pod["metadata"].update(annotations={"a": "c"}), False),
        (POD, lambda pod: pod["metadata"].update(deletionTimestamp="2025-01-01T00:00:00Z"), False),
        (POD, lambda pod: pod["metadata"].update(deletionGracePeriodSeconds=0), False),
        (POD, lambda pod: pod["spec"]["containers"][0].update(image="j"), False),
        (POD, lambda pod: pod["spec"].update(ephemeralContainers=[{"name": "d"}]), False),
    ],
    ids=[
        "our own status", "who wrote it", "a condition nobody waits for", "our own condition", "a gate that opens",
        "labels", "annotations", "deletion", "a shorter grace", "an image", "an ephemeral container",
    ],
)  # fmt: skip
def test_what_changes_what_a_pod_asks(
    before: dict[str, Any], change: Callable[[dict[str, Any]], object], same: bool
) -> None:
    after = copy.deepcopy(before)
    change(after)
    assert pods.asks_the_same(before, after) is same
