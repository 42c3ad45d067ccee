"""The scheduler's picture of the cluster: nodes and the pods on them, including pods it has only decided about.

An *assumed* pod counts on its node from the decision until the watch shows it bound (or binding fails), so that the
next decision sees it. NodeInfos are copied on the first change after a snapshot, and a list of those that are there is
kept beside: a snapshot costs a copy of it, not O(pods).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot, Surroundings


class SchedulerCache:
    """Not for concurrent use: one event loop, no awaits inside."""

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings
        self._nodes: dict[str, NodeInfo] = {}
        # The nodes that are there, not only pods of theirs, and where in the list each is.
        self._present: list[NodeInfo] = []
        self._places: dict[str, int] = {}
        self._holders: dict[str, int] = {}
        # Nodes copied since the last snapshot: ours alone, to be changed in place.
        self._own: set[str] = set()
        self._place: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._snapshot: Snapshot | None = None

    def set_node(self, node: Mapping[str, Any]) -> tuple[NodeInfo | None, NodeInfo]:
        """Add or update a node. Returns it before (None for a new one) and after, for the queueing hints."""
        name = node["metadata"]["name"]
        before = self._nodes.get(name)
        known = before.clone() if before is not None and before.node is not None else None
        info = self._writable(name)
        info.set_node(node)
        if known is None:
            self._places[name] = len(self._present)
            self._present.append(info)
        if known is None or known.image_sizes != info.image_sizes:
            self._holders = {}
        return known, info

    def remove_node(self, name: str) -> NodeInfo | None:
        """Forget the node, and return it as it was. Its pods stay counted until they are deleted."""
        info = self._nodes.get(name)
        if info is None:
            return None
        before = info.clone()
        if info.pods:
            self._writable(name).node = None
        else:
            self._drop(name)
        self._present = [info for info in self._nodes.values() if info.node is not None]
        self._places = {info.name: at for at, info in enumerate(self._present)}
        self._holders = {}
        return before

    def set_pod(self, pod: PodInfo, node: str) -> None:
        """Count a bound pod on its node; confirms an assumed one, moves one that was assumed elsewhere.

        A confirmation that says nothing new costs O(1), and what is known of the node stays known."""
        place = self._place.get(pod.uid)
        if place is not None and place != node:
            self.remove_pod(pod.uid)
        elif pod.uid in self._assumed and self._nodes[node].confirm(pod):
            self._assumed.discard(pod.uid)
            return
        self._assumed.discard(pod.uid)
        self._place[pod.uid] = node
        self._writable(node).add_pod(pod)

    def remove_pod(self, uid: str) -> bool:
        """Count the pod out, assumed or bound. Returns False when it was on no node."""
        node = self._place.pop(uid, None)
        self._assumed.discard(uid)
        if node is None:
            return False
        info = self._writable(node)
        info.remove_pod(uid)
        if info.node is None and not info.pods:
            self._drop(node)
        return True

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count the pod on the node it was just given."""
        self.set_pod(pod, node)
        self._assumed.add(pod.uid)

    def forget(self, uid: str) -> None:
        """Binding failed: count the pod out, unless the watch has shown it bound meanwhile."""
        if uid in self._assumed:
            self.remove_pod(uid)

    def is_assumed(self, uid: str) -> bool:
        """Tell whether the pod was given a node and the watch has not confirmed it yet."""
        return uid in self._assumed

    def place_of(self, uid: str) -> str | None:
        """The node on which the pod counts, or None."""
        return self._place.get(uid)

    def counts(self) -> tuple[int, int, int]:
        """Nodes, pods, assumed pods (the scheduler_scheduler_cache_size metric)."""
        return len(self._nodes), len(self._place), len(self._assumed)

    def snapshot(self) -> Snapshot:
        """Return the state of now. The same object while nothing changes."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self._present, self._surroundings, self._places, self._holders)
            self._own.clear()
        return self._snapshot

    def _writable(self, name: str) -> NodeInfo:
        self._snapshot = None
        info = self._nodes.get(name)
        if info is None:
            info = NodeInfo(name)
        elif name not in self._own:
            info = info.clone()
            if (at := self._places.get(name)) is not None:
                self._present[at] = info
        self._nodes[name] = info
        self._own.add(name)
        return info

    def _drop(self, name: str) -> None:
        self._snapshot = None
        self._nodes.pop(name, None)
        self._own.discard(name)
