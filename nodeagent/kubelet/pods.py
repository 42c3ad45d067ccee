"""Reading a Pod object the way the kubelet reads it: where it came from, how urgent, how its containers restart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from apimachinery.meta.pods import MIRROR

Pod = dict[str, Any]
Container = dict[str, Any]
Kind = Literal["init", "regular", "ephemeral"]

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SEEN = "kubernetes.io/config.seen"

# What of a pod's metadata changes what is to be done for it.
_ASKING = ("labels", "annotations", "deletionTimestamp", "deletionGracePeriodSeconds")

_SYSTEM_CRITICAL = 2_000_000_000  # scheduling.SystemCriticalPriority


def uid(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("uid", ""))


def full_name(pod: Mapping[str, Any]) -> str:
    """`name_namespace`, the kubelet's own spelling: two pods of the same full name never run together."""
    return f"{pod['metadata']['name']}_{pod['metadata'].get('namespace', 'default')}"


def describe(pod: Mapping[str, Any]) -> str:
    """`name_namespace(uid)`, as pods appear in the kubelet's messages."""
    return f"{full_name(pod)}({uid(pod)})"


def reference(pod: Mapping[str, Any]) -> str:
    """`namespace/name`."""
    return f"{pod['metadata'].get('namespace', 'default')}/{pod['metadata']['name']}"


def logged(pod: Mapping[str, Any]) -> str:
    """As pods appear in the kubelet's log."""
    return f'pod="{reference(pod)}" podUID="{uid(pod)}"'


def notes(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def is_static(pod: Mapping[str, Any]) -> bool:
    """Whether the pod came from a file and not from the API."""
    return notes(pod).get(CONFIG_SOURCE) not in (None, "api")


def is_mirror(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is the API's picture of a static pod: never run, only shown."""
    return MIRROR in notes(pod)


def is_critical(pod: Mapping[str, Any]) -> bool:
    """Static, mirror and system-critical pods are the last to be given up."""
    return is_static(pod) or is_mirror(pod) or int(pod["spec"].get("priority") or 0) >= _SYSTEM_CRITICAL


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def restart_policy(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def grace_period(pod: Mapping[str, Any]) -> int:
    """Seconds the pod's containers have to end: of its deletion, else of its spec."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if asked is None:
        asked = pod["spec"].get("terminationGracePeriodSeconds")
    return 30 if asked is None else int(asked)


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """An init container that keeps running beside the others (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def init_containers(pod: Mapping[str, Any]) -> list[Container]:
    return pod["spec"].get("initContainers") or []


def regular_containers(pod: Mapping[str, Any]) -> list[Container]:
    return pod["spec"].get("containers") or []


def ephemeral_containers(pod: Mapping[str, Any]) -> list[Container]:
    return pod["spec"].get("ephemeralContainers") or []


def all_containers(pod: Mapping[str, Any]) -> Iterator[tuple[Kind, Container]]:
    for container in init_containers(pod):
        yield "init", container
    for container in regular_containers(pod):
        yield "regular", container
    for container in ephemeral_containers(pod):
        yield "ephemeral", container


def used_volumes(pod: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The names of the volumes that containers mount, and of those that they take as devices. What none of them uses
    is never set up."""
    containers = [container for _, container in all_containers(pod)]
    mounted = {each["name"] for container in containers for each in container.get("volumeMounts") or ()}
    mapped = {each["name"] for container in containers for each in container.get("volumeDevices") or ()}
    return mounted, mapped


def common_user(pod: Mapping[str, Any]) -> int | None:
    """The runAsUser of every container, be it said by the pod or by each; None where one says none or another."""
    of_pod = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    said = ((container.get("securityContext") or {}).get("runAsUser") for _, container in all_containers(pod))
    users = {of_pod if uid is None else uid for uid in said}
    return users.pop() if len(users) == 1 else None


def find_container(pod: Mapping[str, Any], name: str) -> tuple[Kind, Container] | None:
    for kind, container in all_containers(pod):
        if container["name"] == name:
            return kind, container
    return None


def container_hash(container: Mapping[str, Any]) -> str:
    """Changes when a running container must be replaced: name and image are all that can change it in place."""
    picked = {"name": container["name"], "image": container.get("image", "")}
    return hashlib.sha256(json.dumps(picked, sort_keys=True).encode()).hexdigest()[:8]


def host_network(pod: Mapping[str, Any]) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def asks_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two versions of a pod want the same of the node: most differ by the status that we sent ourselves.

    Upstream's podsDifferSemantically; readiness gates are what others write into a status for us to read.
    """
    if any(one["metadata"].get(key) != other["metadata"].get(key) for key in _ASKING):
        return False
    gates = {gate["conditionType"] for gate in one["spec"].get("readinessGates") or ()}
    return one["spec"] == other["spec"] and _conditions(one, gates) == _conditions(other, gates)


def _conditions(pod: Mapping[str, Any], types: Collection[str]) -> dict[str, str]:
    listed = (pod.get("status") or {}).get("conditions") or () if types else ()
    return {condition["type"]: condition["status"] for condition in listed if condition["type"] in types}
