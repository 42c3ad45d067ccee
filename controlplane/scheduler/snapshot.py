"""What one scheduling cycle looks at: every node and its pods at one instant, never changing underneath it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class NodesByName(Mapping[str, NodeInfo]):
    """Nodes by name, over a list of them and its index, which may know more names than the list has nodes."""

    __slots__ = ("_nodes", "_places")

    def __init__(self, nodes: Sequence[NodeInfo], places: Mapping[str, int]) -> None:
        self._nodes, self._places = nodes, places

    def __getitem__(self, name: str) -> NodeInfo:
        at = self._places[name]
        if at >= len(self._nodes):
            raise KeyError(name)
        return self._nodes[at]

    def __iter__(self) -> Iterator[str]:
        return (node.name for node in self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


class Snapshot:
    """All nodes, in the order in which they were first seen.

    places: index in `nodes` by name, and of nodes that came later; found from the nodes when it is not given.
    holders: of each image that was asked for, how many nodes have it; shared by snapshots with the same images.
    """

    def __init__(
        self,
        nodes: Iterable[NodeInfo],
        surroundings: Surroundings | None = None,
        places: Mapping[str, int] | None = None,
        holders: dict[str, int] | None = None,
    ) -> None:
        self.nodes: list[NodeInfo] = list(nodes)
        self.surroundings: Surroundings = surroundings or Isolated()
        self._places = places if places is not None else {node.name: at for at, node in enumerate(self.nodes)}
        self._holders: dict[str, int] = {} if holders is None else holders
        self.by_name: Mapping[str, NodeInfo] = NodesByName(self.nodes, self._places)

    def __len__(self) -> int:
        return len(self.nodes)

    def replacing(self, node: NodeInfo) -> Snapshot:
        """Return a snapshot with one node exchanged: preemption's question "what if these pods were gone"."""
        changed = Snapshot(self.nodes, self.surroundings, self._places, self._holders)
        changed.nodes[self._places[node.name]] = node
        return changed

    def holders(self, image: str) -> int:
        """How many nodes hold the image. Costs O(nodes) the first time."""
        found = self._holders.get(image)
        if found is None:
            found = self._holders[image] = sum(1 for node in self.nodes if image in node.image_sizes)
        return found

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
