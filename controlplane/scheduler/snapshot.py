"""What one scheduling cycle looks at: every node and its pods at one instant, never changing underneath it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

from apimachinery.meta.labels import Selector
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import Labels, PodInfo


class Surroundings(Protocol):
    """What plugins ask of the cluster beside nodes and pods."""

    def namespace_labels(self) -> Mapping[str, Labels]:
        """Labels of every namespace by name."""

    def owner_selector(self, pod: PodInfo) -> Selector | None:
        """The selector of the Services and the workload that the pod belongs to, or None when there are none."""


class Isolated:
    """Surroundings of a pod that belongs to nothing: no namespaces, no Services. For explanations and tests."""

    def namespace_labels(self) -> Mapping[str, Labels]:
        """Nothing is known of any namespace."""
        return {}

    def owner_selector(self, pod: PodInfo) -> Selector | None:
        """No pod has an owner."""
        return None


class Snapshot:
    """All nodes, in the order in which they were first seen."""

    def __init__(self, nodes: Iterable[NodeInfo], surroundings: Surroundings | None = None) -> None:
        self.nodes: list[NodeInfo] = list(nodes)
        self.surroundings: Surroundings = surroundings or Isolated()

    @cached_property
    def by_name(self) -> dict[str, NodeInfo]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    def __len__(self) -> int:
        return len(self.nodes)

    def replacing(self, node: NodeInfo) -> Snapshot:
        """Return a snapshot with one node exchanged: preemption's question "what if these pods were gone"."""
        return Snapshot((node if n.name == node.name else n for n in self.nodes), self.surroundings)

    @cached_property
    def with_affinity_pods(self) -> list[NodeInfo]:
        """Nodes that hold pods with (anti-)affinity terms."""
        return [node for node in self.nodes if node.affinity_pods]


def snapshot_of(nodes: Iterable[Mapping[str, Any]], pods: Iterable[dict[str, Any]]) -> Snapshot:
    """Build a snapshot from API objects: nodes, and pods that are bound to them."""
    infos: dict[str, NodeInfo] = {}
    for node in nodes:
        info = NodeInfo(node["metadata"]["name"])
        info.set_node(node)
        infos[info.name] = info
    for pod in pods:
        bound = PodInfo(pod)
        if bound.node_name in infos and not bound.terminal:
            infos[bound.node_name].add_pod(bound)
    return Snapshot(infos.values())
