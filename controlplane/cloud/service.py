"""The service loop: a Service of type LoadBalancer gets an address, and a node that answers for it; another node when
that one dies (service controller)."""

from __future__ import annotations

import asyncio
import logging

from apimachinery.api.catalogue import ENDPOINTSLICES, NODES, SERVICES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.backoff import Backoff
from apimachinery.meta import objects
from apimachinery.meta.cloud import ANNOUNCED_BY
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.cloud.context import Context, Object
from controlplane.cloud.provider import Balancer, CloudProblem, Host, LoadBalancers
from controlplane.cloud.service_plan import (
    FINALIZER,
    asked_for,
    change_events,
    concerns_balancers,
    is_usable,
    needs_cleanup,
    service_of,
    shown_balancer,
    usable_hosts,
    wants_balancer,
)

log = logging.getLogger(__name__)

NAME = "service-controller"
_SLICES_OF_SERVICE = "service"
# Seconds: minRetryDelay, maxRetryDelay.
_RETRY_MIN, _RETRY_MAX = 5.0, 300.0
_NAMES_MAX = 20  # of nodes in a message
_NO_HOSTS = ("Warning", "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer")
_UPDATED = ("Normal", "UpdatedLoadBalancer", "Updated load balancer with new hosts")


class ServiceController:
    """Reconciles Services; one worker, because the addresses are shared."""

    name = NAME

    def __init__(self, context: Context, balancers: LoadBalancers) -> None:
        self._client, self._balancers, self._instances = context.client, balancers, context.cloud.instances
        self._clock, self._period = context.clock, context.periods.monitor
        self._services = context.informers.get(SERVICES)
        self._nodes = context.informers.get(NODES)
        self._slices = context.informers.get(ENDPOINTSLICES)
        self._slices.lister.add_index(_SLICES_OF_SERVICE, lambda each: filter(None, (service_of(each),)))
        self._recorder = context.recorder(NAME)
        self._queue = WorkQueue(context.clock)
        self._backoff = Backoff(_RETRY_MIN, _RETRY_MAX, context.clock)
        # Nodes whose machine is turned off, whatever they said last.
        self._off: set[str] = set()
        # What each Service asked for when its balancer was last ensured by us.
        self._ensured: dict[str, Object] = {}
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self._services.add_handler(self._enqueue, on_delete=self._enqueue)
        self._slices.add_handler(self._slice_changed, on_delete=self._slice_changed)
        self._nodes.add_handler(lambda _: self._enqueue_all(), self._node_updated, lambda _: self._enqueue_all())

    def recall(self, other: ServiceController) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._off, self._ensured = set(other._off), dict(other._ensured)
        self._backoff = other._backoff.copy()

    async def run(self) -> None:
        """Work until cancelled; the first address is given when everybody's own is known."""
        for informer in (self._services, self._nodes, self._slices):
            await informer.wait_synced()
        self._balancers.adopt([each for each in self._services.lister.list() if wants_balancer(each)])
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.run())
            group.create_task(self._watch_power())

    async def _watch_power(self) -> None:
        """What a balancer's own health checks are elsewhere: a Node stays Ready for most of a minute after its machine
        died. Looked at only while there is a balancer."""
        while True:
            if self._ensured:
                nodes = [node for node in self._nodes.lister.list() if is_usable(node)]
                off = {objects.name(node) for node in nodes if await self._is_off(node)}
                if off != self._off:
                    self._off = off
                    self._enqueue_all()
            await self._clock.sleep(self._period)

    async def _is_off(self, node: Object) -> bool:
        try:
            return not await self._instances.exists(node) or await self._instances.shutdown(node)
        except CloudProblem as problem:
            log.warning("%s: %s", objects.name(node), problem)
            return objects.name(node) in self._off

    async def reconcile(self, key: str) -> float | None:
        """Ensure the Service's balancer, take it back, or let its hosts follow the nodes."""
        service = self._services.lister.get_by_key(key)
        try:
            if service is None:
                await self._forget(key)
            elif not wants_balancer(service) or needs_cleanup(service):
                await self._clean_up(key, service)
            elif not objects.is_deleting(service) and not await self._ensure(key, service):
                return self._backoff.next(key)
        except CloudProblem as problem:
            assert service is not None
            log.error("error processing service %s: %s", key, problem)
            message = f"Error syncing load balancer: {problem}"
            self._recorder.event(service, "Warning", "SyncLoadBalancerFailed", message)
            return self._backoff.next(key)
        except ApiError as error:
            if not is_not_found(error):
                raise
        self._backoff.reset(key)
        return None

    async def _ensure(self, key: str, service: Object) -> bool:
        """False when its hosts could not be told, which was said. Raises CloudProblem when there is no balancer."""
        asked, before = asked_for(service), self._ensured.get(key)
        hosts = self._hosts(key)
        if asked == before:
            return await self._update_hosts(service, hosts)
        for reason, message in change_events(before, asked) if before is not None else ():
            self._recorder.event(service, "Normal", reason, message)
        self._recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        # Before anything is given, so that the Service cannot go and leave it behind.
        service = await self._write_finalizers(service, wanted=True)
        if not hosts:
            self._recorder.event(service, *_NO_HOSTS)
        try:
            balancer = await self._balancers.ensure(service, hosts)
        except CloudProblem as problem:
            raise CloudProblem(f"failed to ensure load balancer: {problem}") from problem
        await self._write(service, balancer)
        self._ensured[key] = asked
        self._recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        return True

    async def _update_hosts(self, service: Object, hosts: list[Host]) -> bool:
        before = await self._balancers.get(service)
        try:
            balancer = await self._balancers.ensure(service, hosts)
        except CloudProblem as problem:
            log.error("%s: its hosts are not updated: %s", objects.key(service), problem)
            message = f"Error updating load balancer with new hosts {_some_names(hosts)} [node names limited, "
            message += f"total number of nodes: {len(hosts)}], error: {problem}"
            self._recorder.event(service, "Warning", "UpdateLoadBalancerFailed", message)
            return False
        await self._write(service, balancer)
        if before is None or balancer.node != before.node:
            addresses = ", ".join(balancer.addresses)
            log.info("%s: %s announced by %s", objects.key(service), addresses, balancer.node or "nobody")
            self._recorder.event(service, *(_UPDATED if hosts else _NO_HOSTS))
        return True

    async def _clean_up(self, key: str, service: Object) -> None:
        owned = FINALIZER in (objects.metadata(service).get("finalizers") or ())
        held = await self._balancers.get(service)
        if not owned and held is None:
            return
        if held is not None:
            self._recorder.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
        if not objects.is_deleting(service):
            await self._write(service, None)
        # The address is free only when nobody is told to come to it any more.
        service = await self._write_finalizers(service, wanted=False)
        await self._forget(key)
        self._recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")

    async def _forget(self, key: str) -> None:
        self._ensured.pop(key, None)
        await self._balancers.delete(key)
        # Whoever went away without an address may have this one.
        for service in self._services.lister.list():
            if wants_balancer(service) and shown_balancer(service) is None and objects.key(service) != key:
                self._backoff.reset(objects.key(service))
                self._queue.add(objects.key(service))

    async def _write_finalizers(self, service: Object, *, wanted: bool) -> Object:
        finalizers = [each for each in objects.metadata(service).get("finalizers") or () if each != FINALIZER]
        if wanted:
            finalizers.append(FINALIZER)
        if len(finalizers) == len(objects.metadata(service).get("finalizers") or ()):
            return service
        # A list is replaced as a whole, so the write holds only for the version it was computed from.
        metadata = {"resourceVersion": objects.resource_version(service), "finalizers": finalizers or None}
        name, namespace = objects.name(service), objects.namespace(service)
        return await self._client.patch(SERVICES, name, {"metadata": metadata}, namespace, kind="merge")

    async def _write(self, service: Object, balancer: Balancer | None) -> None:
        """Say on the Service what it has: the address first, without which nobody announces anything."""
        name, namespace = objects.name(service), objects.namespace(service)
        addresses = balancer.addresses if balancer is not None else ()
        ingress = [{"ip": address, "ipMode": "VIP"} for address in addresses] or None
        status = service.get("status") or {}
        if ingress != ((status.get("loadBalancer") or {}).get("ingress") or None):
            body: Object = {"status": {"loadBalancer": {"ingress": ingress}}}
            await self._client.patch(SERVICES, name, body, namespace, kind="merge", subresource="status")
        node = (balancer.node if balancer is not None else "") or None
        if node != objects.annotations(service).get(ANNOUNCED_BY):
            body = {"metadata": {"annotations": {ANNOUNCED_BY: node}}}
            await self._client.patch(SERVICES, name, body, namespace, kind="merge")

    def _hosts(self, key: str) -> list[Host]:
        slices = self._slices.lister.by_index(_SLICES_OF_SERVICE, key)
        return usable_hosts(self._nodes.lister.list(), slices, self._off)

    def _enqueue(self, service: Object) -> None:
        self._queue.add(objects.key(service))

    def _enqueue_all(self) -> None:
        for service in self._services.lister.list():
            if wants_balancer(service):
                self._enqueue(service)

    def _node_updated(self, old: Object, new: Object) -> None:
        if concerns_balancers(old, new):
            self._enqueue_all()

    def _slice_changed(self, endpoint_slice: Object) -> None:
        service = self._services.lister.get_by_key(service_of(endpoint_slice))
        # Only then does it matter where the endpoints are.
        if service is not None and (service.get("spec") or {}).get("externalTrafficPolicy") == "Local":
            self._enqueue(service)


def _some_names(hosts: list[Host]) -> str:
    """As Go prints a slice of them."""
    names = sorted(host.name for host in hosts[:_NAMES_MAX])
    if len(hosts) > _NAMES_MAX:
        names.append(f"<{len(hosts) - _NAMES_MAX} more>")
    return f"[{' '.join(names)}]"
