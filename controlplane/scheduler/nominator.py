"""Which pods wait for room that preemption is making on a node."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from controlplane.scheduler.pod_info import PodInfo


class Nominator:
    """Pods by nominated node; each pod is nominated to one node at most."""

    def __init__(self) -> None:
        self._node_of: dict[str, str] = {}
        self._by_node: dict[str, dict[str, PodInfo]] = {}

    def nominate(self, pod: PodInfo, node: str) -> None:
        """The pod waits for `node`, for none if that is empty."""
        self.remove(pod.uid)
        if node:
            self._node_of[pod.uid] = node
            self._by_node.setdefault(node, {})[pod.uid] = pod

    def follow(self, pod: PodInfo, before: PodInfo | None) -> None:
        """The API shows a waiting pod, and had shown it as `before`: its nomination is taken over, or was taken back.

        What was nominated here stays until the API shows it."""
        shown = pod.nominated_node or (before is not None and before.nominated_node)
        self.nominate(pod, pod.nominated_node if shown else self._node_of.get(pod.uid, ""))

    def remove(self, uid: str) -> bool:
        """The pod waits no longer: bound, gone, or it no longer fits there. False when it did not."""
        node = self._node_of.pop(uid, None)
        if node is not None:
            pods = self._by_node[node]
            del pods[uid]
            if not pods:
                del self._by_node[node]
        return node is not None

    def nominated(self) -> Mapping[str, Collection[PodInfo]]:
        """Return the waiting pods by node."""
        return {node: pods.values() for node, pods in self._by_node.items()}

    def lower_than(self, pod: PodInfo, node: str) -> list[PodInfo]:
        """Return the pods of lower priority that wait for `node`: they must look for another."""
        return [other for other in self._by_node.get(node, {}).values() if other.priority < pod.priority]
