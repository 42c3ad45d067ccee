"""What kube-proxy says, by events.k8s.io (upstream's cmd/kube-proxy/app/server.go, pkg/proxy/healthcheck)."""

from __future__ import annotations

from typing import Any

from apimachinery.controller.series_recorder import SeriesRecorder

Object = dict[str, Any]


class ProxyEvents:
    """Events about this node and about Services, with the references of upstream: no apiVersion, a name for a uid."""

    def __init__(self, recorder: SeriesRecorder, node_name: str) -> None:
        self._recorder, self._node_name = recorder, node_name

    def starting(self) -> None:
        """From now on rules are kept."""
        node = {"kind": "Node", "metadata": {"name": self._node_name, "uid": self._node_name}}
        self._recorder.event(node, "Normal", "Starting", "StartKubeProxy", "")

    def health_check_failed(self, service: tuple[str, str], port: int, why: str) -> None:
        """service: (namespace, name). port: its healthCheckNodePort. why: as Go's net package says it."""
        namespace, name = service
        key = f"{namespace}/{name}"
        subject = {"kind": "Service", "metadata": {"namespace": namespace, "name": name, "uid": key}}
        note = f'node {self._node_name} failed to start healthcheck "{key}" on port {port}: {why}'
        self._recorder.event(subject, "Warning", "FailedToStartServiceHealthcheck", "Listen", note)
