"""The labels and annotations by which the kubelet knows its own sandboxes and containers again.

They are upstream's (pkg/kubelet/types/labels.go, pkg/kubelet/kuberuntime/labels.go), so that crictl and other tools
find what they expect. A restarted agent learns everything about a container from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nodeagent.kubelet import pods

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
PRE_STOP = "io.kubernetes.container.preStopHandler"
PORTS = "io.kubernetes.container.ports"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"


def sandbox_labels(pod: Mapping[str, Any]) -> dict[str, str]:
    """The pod's own labels, and who it is."""
    return {**(pod["metadata"].get("labels") or {}), **_identity(pod)}


def container_labels(pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    return {**_identity(pod), CONTAINER_NAME: container["name"]}


def container_annotations(pod: Mapping[str, Any], container: Mapping[str, Any], restart_count: int) -> dict[str, str]:
    """What is needed to end the container properly when the pod's spec is no longer known."""
    known = {
        HASH: pods.container_hash(container),
        RESTART_COUNT: str(restart_count),
        TERMINATION_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
        TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
    }
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    if grace is not None:
        known[POD_GRACE] = str(grace)
    pre_stop = (container.get("lifecycle") or {}).get("preStop")
    if pre_stop:
        known[PRE_STOP] = json.dumps(pre_stop)
    if container.get("ports"):
        known[PORTS] = json.dumps(container["ports"])
    return known


def _identity(pod: Mapping[str, Any]) -> dict[str, str]:
    metadata = pod["metadata"]
    return {POD_NAME: metadata["name"], POD_NAMESPACE: metadata["namespace"], POD_UID: metadata["uid"]}
