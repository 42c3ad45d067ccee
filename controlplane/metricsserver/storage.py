"""The last two points of every node and container, and the use between them (pkg/storage). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .points import Batch, Pod, Point

# Of a container younger than this the time since its start is too short to say anything.
_YOUNG = 10.0

Points = Mapping[str, Point]


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu: nanocores. memory: bytes. at: seconds since the epoch, the end of the window. window: seconds."""

    cpu: int
    memory: int
    at: float
    window: float


class Storage:
    """Nothing is kept of what the last round did not tell. resolution: seconds between rounds."""

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._nodes: dict[str, tuple[Point, Point | None]] = {}
        self._pods: dict[Pod, tuple[Points, Points]] = {}

    @property
    def ready(self) -> bool:
        """Whether there is anything to tell."""
        return any(before is not None for _, before in self._nodes.values()) or any(
            before for _, before in self._pods.values()
        )

    def store(self, batches: Mapping[str, Batch]) -> None:
        """Take in a round: batches by node. A node that did not answer is forgotten until it does."""
        nodes = {}
        pods: dict[Pod, tuple[Points, Points]] = {}
        for name, batch in batches.items():
            if batch.node is not None:
                nodes[name] = (batch.node, self._node_before(name, batch.node))
            for pod, containers in batch.pods.items():
                if pod not in pods:
                    before = {each: self._before(pod, each, point) for each, point in containers.items()}
                    pods[pod] = (containers, {each: point for each, point in before.items() if point is not None})
        self._nodes, self._pods = nodes, pods

    def node(self, name: str) -> Usage | None:
        """What a node uses; None when that is not known, or not yet."""
        last, before = self._nodes.get(name, (None, None))
        return _between(last, before) if last is not None and before is not None else None

    def pod(self, pod: Pod) -> dict[str, Usage] | None:
        """What each container uses, by name; None until there are two points of every one of them."""
        last, before = self._pods.get(pod, ({}, {}))
        if not last or last.keys() - before.keys():
            return None
        found = {name: _between(point, before[name]) for name, point in last.items()}
        return {name: usage for name, usage in found.items() if usage is not None} or None

    def _node_before(self, name: str, point: Point) -> Point | None:
        last, before = self._nodes.get(name, (None, None))
        if last is None:
            return None
        if point.at > last.at:
            return last
        return before if before is not None and before.at < point.at else None

    def _before(self, pod: Pod, container: str, point: Point) -> Point | None:
        if _YOUNG <= point.at - point.started < self._resolution:
            # Young, but old enough: it began with nothing used.
            return Point(point.started, 0.0, point.memory, point.started)
        last, before = (points.get(container) for points in self._pods.get(pod, ({}, {})))
        if last is None or point.started >= last.at:
            return None  # New, or started again: another life's figures are none of this one.
        if point.at > last.at:
            return last
        return before if before is not None and before.at < point.at else None


def earliest(usages: Iterable[Usage]) -> Usage:
    """The usage whose time a pod is shown with."""
    return min(usages, key=lambda usage: usage.at)


def _between(last: Point, before: Point) -> Usage | None:
    window = last.at - before.at
    if last.cpu < before.cpu or window <= 0:
        return None
    return Usage(round((last.cpu - before.cpu) / window * 1e9), last.memory, last.at, window)
