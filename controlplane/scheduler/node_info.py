"""A node as the scheduler sees it: what it offers, the pods on it and what they take, kept up to date by sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from apimachinery.meta.pod_resources import Amounts, parse_amounts
from controlplane.scheduler.pod_info import HostPort, Labels, PodInfo

K = TypeVar("K")
V = TypeVar("V")


class NodeInfo:
    """One node with its pods. The cache changes its own copies; those in a snapshot never change, but that a pod which
    was assumed may be confirmed.

    Adding and removing a pod cost O(resources of that pod); `clone` costs O(pods on the node).
    judged, scored, counted: what the rules found out about this very state of the node, by what they asked. Every
    change empties them; who fills them bounds them with `remember`.
    """

    __slots__ = (
        "affinity_pods",
        "allocatable",
        "counted",
        "host_ports",
        "image_sizes",
        "judged",
        "labels",
        "max_pods",
        "name",
        "node",
        "pods",
        "requested",
        "requested_for_scoring",
        "scored",
        "taints",
        "unschedulable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        # None while only pods of the node are known (they arrived first, or the Node is gone).
        self.node: Mapping[str, Any] | None = None
        self.labels: Labels = {}
        self.taints: tuple[Mapping[str, Any], ...] = ()
        self.unschedulable = False
        self.allocatable: Amounts = {}
        self.max_pods = 0
        self.image_sizes: dict[str, int] = {}
        self.pods: dict[str, PodInfo] = {}
        self.affinity_pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.requested_for_scoring: Amounts = {}
        self.host_ports: tuple[HostPort, ...] = ()
        self.judged: dict[object, Any] = {}
        self.scored: dict[object, tuple[int, ...]] = {}
        self.counted: dict[str, int] = {}

    def set_node(self, node: Mapping[str, Any]) -> None:
        """Take over what the Node object offers."""
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self._changed()
        self.node = node
        self.labels = node["metadata"].get("labels") or {}
        self.taints = tuple(spec.get("taints") or ())
        self.unschedulable = bool(spec.get("unschedulable"))
        self.allocatable = parse_amounts(status.get("allocatable") or status.get("capacity"))
        self.max_pods = self.allocatable.pop("pods", 0)
        self.image_sizes = {
            name: int(image.get("sizeBytes") or 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add_pod(self, pod: PodInfo) -> None:
        """Count the pod in. A pod of the same uid is replaced."""
        if pod.uid in self.pods:
            self.remove_pod(pod.uid)
        self._changed()
        self.pods[pod.uid] = pod
        if pod.has_pod_affinity:
            self.affinity_pods[pod.uid] = pod
        _add(self.requested, pod.requests, 1)
        _add(self.requested_for_scoring, pod.scoring_requests, 1)
        if pod.host_ports:
            self.host_ports += pod.host_ports

    def confirm(self, pod: PodInfo) -> bool:
        """Put the pod that the API shows in the place of the assumed one; False when it does not count alike.

        No sum and nothing that was found out changes thereby, so that a snapshot may see it."""
        held = self.pods.get(pod.uid)
        if held is None or not pod.counts_like(held):
            return False
        pod.learn(held)
        self.pods[pod.uid] = pod
        if pod.uid in self.affinity_pods:
            self.affinity_pods[pod.uid] = pod
        return True

    def remove_pod(self, uid: str) -> bool:
        """Count the pod out. Returns False when it was not here."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return False
        self._changed()
        self.affinity_pods.pop(uid, None)
        _add(self.requested, pod.requests, -1)
        _add(self.requested_for_scoring, pod.scoring_requests, -1)
        if pod.host_ports:
            self.host_ports = tuple(p for other in self.pods.values() for p in other.host_ports)
        return True

    def clone(self) -> NodeInfo:
        """Return an independent copy that shares the decoded pods."""
        copy = NodeInfo(self.name)
        copy.node, copy.labels, copy.taints = self.node, self.labels, self.taints
        copy.unschedulable, copy.allocatable, copy.max_pods = self.unschedulable, self.allocatable, self.max_pods
        copy.image_sizes = self.image_sizes
        copy.pods, copy.affinity_pods = dict(self.pods), dict(self.affinity_pods)
        copy.requested, copy.requested_for_scoring = dict(self.requested), dict(self.requested_for_scoring)
        copy.host_ports = self.host_ports
        return copy

    def _changed(self) -> None:
        for found in (self.judged, self.scored, self.counted):
            found.clear()


_REMEMBERED = 64


def remember(found: dict[K, V], key: K, value: V) -> V:
    """Keep what was found out about a node; of so many questions that they do not come again, nothing is kept."""
    if len(found) >= _REMEMBERED:
        found.clear()
    found[key] = value
    return value


def _add(into: Amounts, more: Mapping[str, int], sign: int) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + sign * amount
