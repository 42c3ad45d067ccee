"""Statistics over HTTP: /stats/summary, /metrics/cadvisor, /metrics/resource, /metrics/probes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import orjson
from aiohttp import web

from apimachinery.kit import metrics
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.cri.images import ImageService
from nodeagent.kubelet.eviction.usage import Disk
from nodeagent.kubelet.node import machine as machines
from nodeagent.kubelet.node.machine import Filesystem, Machine
from nodeagent.kubelet.probes import observed
from nodeagent.kubelet.stats.cadvisor import Series, labelled, render_cadvisor
from nodeagent.kubelet.stats.cgroup import Usage
from nodeagent.kubelet.stats.claims import render_claims
from nodeagent.kubelet.stats.node import NodeStats, read_node
from nodeagent.kubelet.stats.provider import PodStats, Provider
from nodeagent.kubelet.stats.resource import render_resource
from nodeagent.kubelet.stats.summary import Rates, render_summary

log = logging.getLogger(__name__)

_TRUE = ("1", "t", "T", "true", "TRUE", "True")


class Measurements:
    """What the node, its pods and containers use, rendered for those who ask.

    node: our name. root: the kubelet's directory. groups: the cgroups of all pods and of the classes of service.
    clock: (wall clock, monotonic clock), nanoseconds. runtime_version: as the Node shows it.
    """

    def __init__(
        self,
        provider: Provider,
        images: ImageService,
        *,
        node: str,
        machine: Machine,
        root: Path,
        groups: tuple[str, ...],
        clock: Callable[[], tuple[int, int]],
        runtime_version: Callable[[], str],
    ) -> None:
        self._provider, self._images, self._node, self._machine = provider, images, node, machine
        self._root, self._groups, self._clock, self._runtime_version = root, groups, clock, runtime_version
        self._rates = Rates()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the paths; they are guarded by whoever serves them."""
        handlers: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "/stats/summary": self._summary,
            "/metrics/cadvisor": self._cadvisor,
            "/metrics/resource": self._resource,
            "/metrics/probes": self._probes,
        }
        for path, handler in handlers.items():
            router.add_get(path, handler)
        router.add_get("/stats/summary/", self._summary)
        router.add_post("/stats/summary", self._summary)

    async def claims(self) -> bytes:
        """What /metrics tells of claims, to be added to the kubelet's own metrics."""
        return render_claims(await self._provider.claims())

    async def _summary(self, request: web.Request) -> web.Response:
        brief = request.query.get("only_cpu_and_memory", "") in _TRUE
        pods = await self._provider.pods(disks=not brief)
        document = render_summary(
            self._node,
            self._read_node(),
            pods,
            self._provider.reader.usage(self._groups[0]),
            None if brief else await self._image_fs(),
            self._rates,
            only_cpu_and_memory=brief,
        )
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    async def _resource(self, _: web.Request) -> web.Response:
        try:
            pods = await self._provider.pods()
            usage: Usage | None = self._read_node().usage
        except (RuntimeCallError, OSError) as error:
            log.error("Error getting summary for resourceMetric prometheus endpoint: %s", error)
            pods, usage = [], None
        return _text(render_resource(usage, pods))

    async def _cadvisor(self, _: web.Request) -> web.Response:
        failed = False
        try:
            pods = await self._provider.pods(disks=True)
        except RuntimeCallError as error:
            log.warning("Couldn't get containers: %s", error)
            pods, failed = [], True
        node = self._read_node()
        series = [*self._of_groups(node), *self._of_pods(pods, node.file_system)]
        return _text(render_cadvisor(series, self._machine, self._runtime_version(), failed))

    async def _probes(self, _: web.Request) -> web.Response:
        return _text(metrics.render(observed.REGISTRY))

    def _read_node(self) -> NodeStats:
        return read_node(self._clock, self._root)

    def _of_groups(self, node: NodeStats) -> Iterator[Series]:
        yield Series(labelled("/"), node.usage, node.started, interfaces=node.interfaces)
        for path in self._groups:
            usage = self._provider.reader.usage(path)
            if usage is not None:
                yield Series(labelled(path), usage, node.started, self._provider.reader.details(path, usage))

    def _of_pods(self, pods: list[PodStats], file_system: Filesystem) -> Iterator[Series]:
        details = self._provider.reader.details
        for pod in pods:
            known = {"pod": pod.name, "namespace": pod.namespace}
            yield Series(labelled(pod.path, **known), pod.usage, pod.started / 1e9, details(pod.path, pod.usage))
            for each in (pod.sandbox, *pod.containers):
                labels = labelled(each.path, container=each.name, image=each.image, name=each.id, **known)
                yield Series(
                    labels,
                    each.usage,
                    each.started / 1e9,
                    details(each.path, each.usage),
                    interfaces=pod.interfaces if each is pod.sandbox else (),
                    disk=(each.rootfs, "overlay", file_system.size) if each.rootfs is not None else None,
                )

    async def _image_fs(self) -> tuple[Filesystem, Disk] | None:
        try:
            usage = await self._images.filesystem()
        except RuntimeCallError as error:
            log.warning("ImageFsInfo failed: %s", error)
            return None
        if usage is None or not usage.fs_id.mountpoint:
            return None
        found = await asyncio.to_thread(machines.filesystem, Path(usage.fs_id.mountpoint))
        return found, Disk(int(usage.used_bytes.value), int(usage.inodes_used.value))


def _text(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})
