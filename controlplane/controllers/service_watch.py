"""Which Services a change of a Pod or a Service concerns: shared by the EndpointSlice and the Endpoints controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import PODS, SERVICES
from apimachinery.meta import objects, pods
from controlplane.controllers.context import Context
from controlplane.controllers.endpoints_of_pods import service_selector

Object = dict[str, Any]


class ServiceWatch:
    """Calls `enqueue` with the key of each Service whose endpoints may have changed."""

    def __init__(self, context: Context, enqueue: Callable[[str], None]) -> None:
        self._enqueue = enqueue
        services, all_pods = context.informer(SERVICES), context.informer(PODS)
        self._services = services.lister
        services.add_handler(lambda service: enqueue(objects.key(service)), on_delete=self._service_gone)
        all_pods.add_handler(self._pod_changed, self._pod_updated, self._pod_changed)

    def _service_gone(self, service: Object) -> None:
        self._enqueue(objects.key(service))

    def _pod_changed(self, pod: Object) -> None:
        """Cost: the Services of the pod's namespace."""
        labels = objects.labels(pod)
        for service in self._services.list(objects.namespace(pod)):
            selector = service_selector(service)
            if selector is not None and selector.matches(labels):
                self._enqueue(objects.key(service))

    def _pod_updated(self, old: Object, new: Object) -> None:
        if objects.labels(old) != objects.labels(new):
            self._pod_changed(old)
            self._pod_changed(new)
        elif _endpoint_facts(old) != _endpoint_facts(new):
            self._pod_changed(new)


def _endpoint_facts(pod: Object) -> tuple[Any, ...]:
    """Return what of a pod shows in its endpoint."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    return (
        status.get("podIP"), status.get("podIPs"), status.get("phase"), pods.is_ready(pod), objects.is_deleting(pod),
        spec.get("nodeName"), spec.get("hostname"), spec.get("subdomain"),
    )  # fmt: skip
