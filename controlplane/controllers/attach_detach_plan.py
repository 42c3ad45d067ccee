"""What is to be attached to a node, and what detached. Pure (pkg/controller/volume/attachdetach/reconciler)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import attachments, objects, pods, taints

Object = dict[str, Any]

MAX_WAIT_FOR_UNMOUNT = 360.0  # seconds (maxWaitForUnmountDuration)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume that pods of the node use."""

    volume: Object
    pods: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Detachment:
    """A VolumeAttachment to be deleted. forced: whether or not the node says that it has the volume mounted."""

    attachment: Object
    forced: bool = False


@dataclass(frozen=True, slots=True)
class NodePlan:
    """attach: what to make VolumeAttachments for. refused: names of volumes that other nodes have, and those nodes.

    report: the node's status.volumesAttached. fresh: names of volumes that are attached and not yet reported.
    again: seconds until something is to be looked at again by itself.
    """

    attach: tuple[Object, ...] = ()
    detach: tuple[Detachment, ...] = ()
    refused: Mapping[str, tuple[str, ...]] | None = None
    report: tuple[Object, ...] = ()
    fresh: tuple[str, ...] = ()
    again: float | None = None


def plan_node(
    node: Object | None,
    wanted: Mapping[str, Wanted],
    own: Sequence[Object],
    elsewhere: Mapping[str, Sequence[str]],
    waited: Callable[[str], float],
    volume_named: Callable[[str], Object | None],
    *,
    force: bool = True,
) -> NodePlan:
    """wanted: by the volume's name. own: the node's VolumeAttachments; elsewhere: the other nodes that each wanted
    volume is, or may be, attached to. waited: seconds since a VolumeAttachment was first no longer wanted. force:
    whether to give up on an unhealthy node that keeps its volume for six minutes (--disable-force-detach-on-timeout).

    A node that is gone is one that does not answer: its machine may still write.
    """
    held = {attachments.volume_of(each): each for each in own}
    status = (node or {}).get("status") or {}
    reported = {each.get("devicePath"): each for each in status.get("volumesAttached") or ()}
    in_use = frozenset(status.get("volumesInUse") or ())
    detach: list[Detachment] = []
    report: list[Object] = []
    fresh: list[str] = []
    waits: list[float] = []
    for name, attachment in held.items():
        if objects.is_deleting(attachment):
            continue
        volume = volume_named(name)
        unique = attachments.unique_name(volume) if volume is not None and attachments.source(volume) else None
        if unique is None:
            unique = (reported.get(objects.name(attachment)) or {}).get("name")
        if name not in wanted:
            elapsed = waited(objects.name(attachment))
            mounted = node is None or unique in in_use
            given_up = force and elapsed >= MAX_WAIT_FOR_UNMOUNT and not is_healthy(node)
            if not mounted or given_up or is_out_of_service(node):
                detach.append(Detachment(attachment, forced=mounted))
                continue
            if force and not is_healthy(node):
                waits.append(max(0.0, MAX_WAIT_FOR_UNMOUNT - elapsed))
        if attachments.is_attached(attachment) and unique:
            report.append({"name": unique, "devicePath": objects.name(attachment)})
            if objects.name(attachment) not in reported:
                fresh.append(name)
    missing = {name: each.volume for name, each in wanted.items() if name not in held and node is not None}
    refused = {
        name: tuple(elsewhere[name])
        for name, volume in missing.items()
        if elsewhere.get(name) and not attachments.allows_many_nodes(volume)
    }
    return NodePlan(
        tuple(volume for name, volume in missing.items() if name not in refused),
        tuple(detach),
        refused,
        tuple(sorted(report, key=lambda each: str(each["name"]))),
        tuple(fresh),
        min(waits, default=None),
    )


def is_healthy(node: Object | None) -> bool:
    """Whether the node is there and Ready."""
    return node is not None and pods.is_ready(node)


def is_out_of_service(node: Object | None) -> bool:
    """Whether an administrator vouches that the node is shut down (KEP-2268)."""
    held = ((node or {}).get("spec") or {}).get("taints") or ()
    return any(taint.get("key") == taints.OUT_OF_SERVICE for taint in held)


def needs_volume(pod: Object) -> bool:
    """Whether the node needs the pod's volumes: until all its containers have ended (util.IsPodTerminated)."""
    if pods.is_terminal(pod):
        return False
    if not objects.is_deleting(pod):
        return True
    status = pod.get("status") or {}
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    return not all("terminated" in state or "waiting" in state for state in states)


def render_attachment(volume: Object, node: str) -> Object:
    """The wish that the driver attaches the volume to the node."""
    csi = attachments.source(volume)
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": attachments.attachment_name(csi["volumeHandle"], csi["driver"], node)},
        "spec": {
            "attacher": csi["driver"],
            "nodeName": node,
            "source": {"persistentVolumeName": objects.name(volume)},
        },
    }


def multi_attach_text(volume: str, pod: Object, others: Sequence[Object]) -> str:
    """Why the pod waits. others: the pods that use the volume on other nodes. Foreign names stay secret."""
    here = [objects.name(each) for each in others if objects.namespace(each) == objects.namespace(pod)]
    foreign = len(others) - len(here)
    if not others:
        why = "Volume is already exclusively attached to one node and can't be attached to another"
    elif here:
        why = f"Volume is already used by pod(s) {', '.join(here)}"
        why += f" and {foreign} pod(s) in different namespaces" if foreign else ""
    else:
        why = f"Volume is already used by {foreign} pod(s) in different namespaces"
    return f'Multi-Attach error for volume "{volume}" {why}'
