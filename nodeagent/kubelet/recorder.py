"""Events about pods, containers and the node, in the kubelet's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from nodeagent.kubelet import pods


class Sink(Protocol):
    """Where events go: `apimachinery.controller.events.EventRecorder`."""

    def event(
        self,
        obj: dict[str, Any],
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None: ...


class Recorder:
    """Says what happened. Never blocks, never fails; without an API server nothing is said."""

    def __init__(self, sink: Sink | None, node_name: str) -> None:
        self._sink = sink
        # As upstream's reference to the node: kubectl describe node looks for this uid, too.
        self._node = {"kind": "Node", "metadata": {"name": node_name, "uid": node_name}}

    def pod(
        self,
        pod: Mapping[str, Any],
        type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """annotations: of the event."""
        self._say(pod, type, reason, message, "", annotations)

    def container(self, pod: Mapping[str, Any], name: str, type: str, reason: str, message: str) -> None:
        """About one container: the event names its place in the spec."""
        found = pods.find_container(pod, name)
        if found is None:
            return
        section = {"init": "initContainers", "regular": "containers", "ephemeral": "ephemeralContainers"}[found[0]]
        self._say(pod, type, reason, message, f"spec.{section}{{{name}}}")

    def node(self, type: str, reason: str, message: str) -> None:
        if self._sink is not None:
            self._sink.event(self._node, type, reason, message)

    def _say(
        self,
        pod: Mapping[str, Any],
        type: str,
        reason: str,
        message: str,
        path: str,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        if self._sink is None:
            return
        subject = {"apiVersion": "v1", "kind": "Pod", "metadata": dict(pod["metadata"])}
        self._sink.event(subject, type, reason, message, field_path=path, annotations=annotations)
