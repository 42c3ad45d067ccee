"""Pods for the tests of containerd 2, and how they are looked at."""

from __future__ import annotations

import json
from typing import Any

from tests.netns.kubelet.agent import busybox, eventually
from tests.netns.kubelet.cluster import Cluster

Object = dict[str, Any]
FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


def pod(name: str, mounts: dict[str, Object], script: str = FOREVER, **spec: Any) -> Object:
    """A pod of one container. mounts: path → {"volume": its source, more of the mount}."""
    volumes, asked = [], []
    for index, (path, mount) in enumerate(mounts.items()):
        more = {key: value for key, value in mount.items() if key != "volume"}
        volumes.append({"name": f"v{index}", **mount["volume"]})
        asked.append({"name": f"v{index}", "mountPath": path, **more})
    container = busybox(script, volumeMounts=asked, **spec.pop("container", {}))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1, **spec},
    }


def ask(cluster: Cluster, name: str, script: str) -> str:
    """What a shell in the pod says to that, its complaints too."""
    return cluster.kubectl("exec", name, "--", "sh", "-c", f"{{ {script}; }} 2>&1", check=False)


def refused(cluster: Cluster, made: Object) -> str:
    """What the API says of a pod, which it is not to keep."""
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(made), check=False)


def waits(cluster: Cluster, name: str) -> str:
    """Why the pod's container waits, once it does."""
    [status] = cluster.pod(name)["status"]["containerStatuses"]
    return str(status["state"]["waiting"]["reason"])


def told(cluster: Cluster, text: str) -> None:
    """Wait for an event that says so."""
    eventually(lambda: text in cluster.kubectl("get", "events", "-o=jsonpath={.items[*].message}"), text)
