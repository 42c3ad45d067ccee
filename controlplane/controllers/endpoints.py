"""Endpoints: the older single object per Service, for those who still read it (pkg/controller/endpoint)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import ENDPOINTS, PODS, SERVICES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.endpoints_of_pods import (
    HEADLESS,
    belongs,
    hostname_in,
    is_headless,
    render_ports,
    resolve_ports,
    service_selector,
    target_ref,
)
from controlplane.controllers.pod_control import is_namespace_terminating
from controlplane.controllers.service_watch import ServiceWatch

Object = dict[str, Any]

NAME = "endpoint-controller"
MAX_ADDRESSES = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


def compute_subsets(service: Object, selected: Iterable[Object]) -> tuple[list[Object], bool]:
    """Group addresses by ports, ready ones apart. Returns the subsets and whether addresses were left out.

    Pods that are being deleted are not listed, unless the Service publishes what is not ready.
    """
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[tuple[tuple[str, str, int, str], ...], dict[str, list[Object]]] = {}
    count, truncated = 0, False
    for pod in sorted(selected, key=objects.key):
        if not belongs(pod) or (objects.is_deleting(pod) and not publish):
            continue
        ports = resolve_ports(service, pod)
        if not ports and service["spec"].get("ports"):
            continue
        if count >= MAX_ADDRESSES:
            truncated = True
            break
        count += 1
        address: Object = {"ip": pod["status"]["podIP"], "targetRef": target_ref(pod)}
        if node := pods.node_name(pod):
            address["nodeName"] = node
        if hostname := hostname_in(service, pod):
            address["hostname"] = hostname
        kind = "addresses" if publish or pods.is_ready(pod) else "notReadyAddresses"
        groups.setdefault(ports, {}).setdefault(kind, []).append(address)
    subsets = [
        {**kinds, "ports": render_ports(ports, keep_empty_name=False)} if ports else dict(kinds)
        for ports, kinds in sorted(groups.items())
    ]
    return subsets, truncated


def render_endpoints(service: Object, current: Object | None, subsets: list[Object], truncated: bool) -> Object:
    """Return the Endpoints object as it should be."""
    labels = {k: v for k, v in objects.labels(service).items() if k != HEADLESS}
    if is_headless(service):
        labels[HEADLESS] = ""
    metadata = dict(current["metadata"]) if current is not None else {}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != OVER_CAPACITY}
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    metadata.update(name=objects.name(service), namespace=objects.namespace(service), labels=labels)
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}


class EndpointsController:
    """Reconciles the Endpoints of Services."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._services, self._pods = context.informer(SERVICES).lister, context.informer(PODS).lister
        endpoints = context.informer(ENDPOINTS)
        self._endpoints = endpoints.lister
        self._recorder = context.recorder(NAME)
        self._queue = WorkQueue(context.clock, base=1.0)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=5)
        ServiceWatch(context, self._queue.add)
        endpoints.add_handler(on_delete=lambda gone: self._queue.add(objects.key(gone)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Bring the Endpoints of one Service up to date; they go with the Service."""
        service, current = self._services.get_by_key(key), self._endpoints.get_by_key(key)
        if service is None:
            if current is not None and self._is_ours(current):
                await self._delete(current)
            return None
        selector = service_selector(service)
        if selector is None or service["spec"].get("type") == "ExternalName":
            return None
        subsets, truncated = compute_subsets(service, self._pods.list(objects.namespace(service), selector))
        wanted = render_endpoints(service, current, subsets, truncated)
        if current is None:
            try:
                await self._client.create(ENDPOINTS, wanted)
            except ApiError as error:
                if not is_namespace_terminating(error):
                    raise
        elif (current.get("subsets") or [], objects.labels(current)) != (subsets, objects.labels(wanted)):
            await self._client.update(ENDPOINTS, wanted)
        return None

    def _is_ours(self, current: Object) -> bool:
        """A leader election record on an Endpoints object belongs to no Service."""
        return "control-plane.alpha.kubernetes.io/leader" not in objects.annotations(current)

    async def _delete(self, current: Object) -> None:
        try:
            await self._client.delete(
                ENDPOINTS, objects.name(current), objects.namespace(current), uid=objects.uid(current)
            )
        except ApiError as error:
            if not is_not_found(error):
                raise
