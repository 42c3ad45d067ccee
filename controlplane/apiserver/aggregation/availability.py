"""Whether the server behind each APIService answers: its Available condition, with upstream's reasons and messages.

kube-aggregator pkg/controllers/status. Looked at when the APIService, its Service or its EndpointSlices change, again
every 30 s, and with back-off while the server does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from multidict import CIMultiDict

from apimachinery.api.catalogue import ENDPOINTSLICES, SERVICES, Resource
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Gauge
from apimachinery.meta import fields, labels, status, times
from apimachinery.meta.endpoints import SERVICE_NAME
from controlplane.apiserver.aggregation.apiservices import AVAILABLE, ApiServices, condition_of, service_of
from controlplane.apiserver.aggregation.registration import LOCAL
from controlplane.apiserver.aggregation.resolver import BadTransport, Resolver, Unresolved, is_ready
from controlplane.apiserver.authn.user import MASTERS, User
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.registry.watch import open_watch
from controlplane.apiserver.streams.forward import Forwarder, Sent, Unreachable
from controlplane.apiserver.streams.headers import identify

log = logging.getLogger(__name__)

Object = dict[str, Any]

AGGREGATOR = User("system:kube-aggregator", groups=(MASTERS,))
"""Who this server is to the servers behind it when nobody asked for anything."""
RESYNC = 30.0
_ATTEMPTS = 5  # at once: one of several endpoints that answers is enough
_TIMEOUT = 5.0
_RETRY = 1.0

_UNAVAILABLE = Gauge(
    "aggregator_unavailable_apiservice", "Gauge of APIServices which are marked as unavailable by name", ["name"]
)


def compute_condition(
    api: Mapping[str, Any], service: Mapping[str, Any] | None, slices: Sequence[Mapping[str, Any]]
) -> Object | None:
    """The condition as far as the stored objects tell it; None when the server itself must be asked."""
    reference = service_of(api)
    if reference is None:
        return dict(LOCAL)
    name, namespace, number = reference["name"], reference["namespace"], int(reference.get("port") or 443)
    where = f'service/{name} in "{namespace}"'
    if service is None:
        return _false("ServiceNotFound", f"{where} is not present")
    spec = service.get("spec") or {}
    if (spec.get("type") or "ClusterIP") != "ClusterIP":
        return None
    port = next((each for each in spec.get("ports") or [] if each.get("port") == number), None)
    if port is None:
        return _false("ServicePortError", f"{where} is not listening on port {number}")
    if not slices:
        return _false("EndpointsNotFound", f'cannot find endpoints for service/{name} in "{namespace}"')
    port_name = port.get("name") or ""
    if not any(_serves(each, port_name) for each in slices):
        text = f'endpoints for {where} have no addresses with port name "{port_name}"'
        return _false("MissingEndpoints", text)
    return None


def _serves(endpoints: Mapping[str, Any], port: str) -> bool:
    named = any((each.get("name") or "") == port and each.get("port") for each in endpoints.get("ports") or [])
    return named and any(is_ready(each) for each in endpoints.get("endpoints") or [])


def _false(reason: str, message: str) -> Object:
    return {"type": AVAILABLE, "status": "False", "reason": reason, "message": message}


def unanswered(url: str, why: str) -> str:
    """That the server did not answer. why: "" when it took too long."""
    told = why or "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    return f'failing or missing response from {url}: Get "{url}": {told}'


def with_condition(api: Object, condition: Object, now: str) -> Object:
    """The APIService with that condition; the same object when it has it already."""
    old = condition_of(api)
    since = old.get("lastTransitionTime") if old is not None and old.get("status") == condition["status"] else now
    new = {"lastTransitionTime": since, **condition}
    if new == old:
        return api
    state = api.get("status") or {}
    others = [each for each in state.get("conditions") or [] if each.get("type") != AVAILABLE]
    return {**api, "status": {**state, "conditions": [*others, new]}}


class Availability:
    """The loop. It starts to follow Services and EndpointSlices once an APIService names one."""

    def __init__(
        self,
        registry: Registry,
        store: ObjectStore,
        index: ApiServices,
        resolver: Resolver,
        forwarder: Forwarder,
        clock: Clock,
    ) -> None:
        self._registry, self._store, self._index = registry, store, index
        self._resolver, self._forwarder, self._clock = resolver, forwarder, clock
        self._queue = WorkQueue(clock, cap=RESYNC)

    async def run(self) -> None:
        """Until cancelled."""
        self._index.listen(self._queue.add)
        async with asyncio.TaskGroup() as group:
            group.create_task(Controller("apiservice-availability", self._reconcile, self._queue, workers=5).run())
            group.create_task(self._follow(SERVICES))
            group.create_task(self._follow(ENDPOINTSLICES))

    async def _follow(self, resource: Resource) -> None:
        await self._index.any_remote.wait()
        everything = Selection(labels.EVERYTHING, fields.EVERYTHING)
        while True:
            try:
                async with await open_watch(self._registry.of(resource), "", everything, ListOptions()) as watch:
                    while batch := await watch.batch():
                        for event in batch:
                            if event.entry is not None:
                                self._wake(resource, event.entry.key, event.entry.attributes[0])
            except status.ApiError as error:
                log.warning("following %s: %s", resource, error)
            await self._clock.sleep(_RETRY)

    def _wake(self, resource: Resource, key: str, found: Mapping[str, str]) -> None:
        namespace, name = key.split("/")[-2:]
        if resource is ENDPOINTSLICES:
            name = found.get(SERVICE_NAME, "")
        for api in self._index.remote():
            reference = service_of(api) or {}
            if (reference.get("namespace"), reference.get("name")) == (namespace, name):
                self._queue.add(api["metadata"]["name"])

    async def _reconcile(self, name: str) -> float | None:
        api = self._index.get(name)
        if api is None:
            _UNAVAILABLE.labels(name).set(0)
            return None
        reference = service_of(api)
        service, slices = None, []
        if reference is not None:
            service = await self._resolver.service(api)
            if service is not None:
                slices = await self._resolver.slices(reference["namespace"], reference["name"])
        condition = compute_condition(api, service, slices)
        failure = ""
        if condition is None:
            failure = await self._probe(api)
            condition = {"type": AVAILABLE, "status": "True", "reason": "Passed", "message": "all checks passed"}
            if failure:
                condition = _false("FailedDiscoveryCheck", failure)
        await self._write(api, condition)
        if failure:
            raise status.service_unavailable(failure)  # the loop asks again, later and later
        return None if reference is None else RESYNC

    async def _write(self, api: Object, condition: Object) -> None:
        name, now = api["metadata"]["name"], times.rfc3339(self._clock.now())
        unavailable = condition["status"] != "True"
        _UNAVAILABLE.labels(name).set(int(unavailable))
        if with_condition(api, condition, now) is api:
            return
        log.info("changing APIService availability: %s %s %s", name, condition["status"], condition["message"])

        async def change(current: Object) -> Object:
            if current.get("spec") != api.get("spec"):
                return current  # another one by now, which will be looked at
            return with_condition(current, condition, now)

        try:
            self._index.put(await self._store.modify("", name, change))
        except status.ApiError as error:
            if not status.is_not_found(error):
                raise

    async def _probe(self, api: Object) -> str:
        """Why the server does not answer, or "". The first of several attempts that succeeds decides."""
        attempts = [asyncio.create_task(self._attempt(api)) for _ in range(_ATTEMPTS)]
        told = ""
        try:
            for attempt in asyncio.as_completed(attempts):
                told = await attempt
                if not told:
                    return ""
        finally:
            for task in attempts:
                task.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        return told

    async def _attempt(self, api: Object) -> str:
        spec = api["spec"]
        group, version = spec.get("group") or "", spec["version"]
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            # Its certificate is for requests to judge, which carry a user's name: a wrong caBundle is told by them.
            target = await self._resolver.target(api, verified=False)
        except (Unresolved, BadTransport) as error:
            return str(error)
        headers: CIMultiDict[str] = CIMultiDict()
        identify(headers, AGGREGATOR)
        url = f"https://{target.authority}{path}"
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._forwarder.ask(target, Sent("GET", path, "", headers))
        except (Unreachable, TimeoutError) as error:
            return unanswered(url, str(error))
        answer.close()
        if not 200 <= answer.status < 300:
            return f"failing or missing response from {url}: bad status from {url}: {answer.status}"
        return ""
