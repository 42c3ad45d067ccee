"""What `kubernetes` directives read: one set of informers for the process, whatever is reloaded around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import ENDPOINTSLICES, NAMESPACES, PODS, SERVICES
from apimachinery.cache.informer import Informer, InformerFactory
from apimachinery.meta import objects
from nodeagent.dns.indexes import (
    BY_ADDRESS,
    BY_SERVICE,
    Object,
    pod_addresses,
    service_addresses,
    slice_addresses,
    slice_service,
)
from nodeagent.dns.records import ClusterRecords
from nodeagent.dns.settings import Kubernetes


class ClusterSource:
    """changed: called when something changed that an answer may hold. Must not block."""

    def __init__(self, factory: InformerFactory, changed: Callable[[], None]) -> None:
        self._factory, self._changed = factory, changed
        self._informers: list[Informer] = []
        self._serial = 0
        self._services, self._slices, self._namespaces = (
            self._watch(resource, of_it)
            for resource, of_it in ((SERVICES, _of_service), (ENDPOINTSLICES, _of_slice), (NAMESPACES, _of_namespace))
        )
        self._services.lister.add_index(BY_ADDRESS, service_addresses)
        self._slices.lister.add_index(BY_SERVICE, slice_service)
        self._slices.lister.add_index(BY_ADDRESS, slice_addresses)
        self._pods: Informer | None = None

    @property
    def has_synced(self) -> bool:
        return all(informer.has_synced for informer in self._informers)

    async def wait_synced(self) -> None:
        await asyncio.gather(*(informer.wait_synced() for informer in self._informers))

    def records(self, settings: Kubernetes) -> list[ClusterRecords]:
        """One for each zone of a directive; reverse answers lead to the first that is none."""
        if settings.pods == "verified" and self._pods is None:
            # All pods are watched from the first that are to be verified on, not before.
            self._pods = self._watch(PODS, _of_pod, transform=_trim_pod)
            self._pods.lister.add_index(BY_ADDRESS, pod_addresses)
        home = next((zone for zone in settings.zones if zone[-1:] != ("arpa",)), None)
        return [
            ClusterRecords(
                zone,
                self._services.lister,
                self._slices.lister,
                self._namespaces.lister,
                settings=settings,
                serial=lambda: self._serial,
                pods=self._pods.lister if self._pods is not None else None,
                home=home or ("cluster", "local"),
            )
            for zone in settings.zones
        ]

    def _watch(self, resource: Any, of_it: Callable[[Object], Any], transform: Any = None) -> Informer:
        informer = self._factory.get(resource, transform=transform) if transform else self._factory.get(resource)

        def count(*_: Object) -> None:
            self._serial += 1
            self._changed()

        def compare(old: Object, new: Object) -> None:
            if of_it(old) != of_it(new):
                count()

        informer.add_handler(count, compare, count)
        self._informers.append(informer)
        return informer


def _of_service(service: Object) -> Any:
    return service["spec"]


def _of_slice(slice_: Object) -> Any:
    return objects.labels(slice_), slice_.get("endpoints"), slice_.get("ports")


def _of_namespace(_: Object) -> Any:
    return None


def _of_pod(pod: Object) -> Any:
    return list(pod_addresses(pod))


def _trim_pod(pod: Object) -> Object:
    """What an informer keeps of a pod."""
    meta, status = pod["metadata"], pod.get("status") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in meta},
        "status": {"phase": status.get("phase"), "podIPs": status.get("podIPs") or []},
    }
