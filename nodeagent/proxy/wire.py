"""Makes the real objects of the proxy out of its configuration; nothing else does."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import web

from apimachinery.api.catalogue import ENDPOINTSLICES, NODES, SERVICES
from apimachinery.cache.informer import Informer, InformerFactory
from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.controller.series_recorder import SeriesRecorder
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.debug import DebugServer
from apimachinery.kit.tasks import cancel_and_wait, wait_first
from apimachinery.kit.trace import Trace, use
from apimachinery.meta import objects
from apimachinery.meta.build import show_build, version_info
from nodeagent.netlink import links
from nodeagent.netlink.wire import Netlink
from nodeagent.routes.keeper import PodNetwork
from nodeagent.routes.kernel import Kernel
from nodeagent.routes.nodes import node_network, trim

from . import observed, services
from .backend import Backend
from .cleanup import remove_iptables, remove_nftables
from .config import NFTABLES, AddressRange, Config
from .conntrack import forget_stale
from .doors import keep_open
from .events import ProxyEvents
from .health import Eligibility, Healthz, ServiceHealth
from .iptables.command import Iptables
from .iptables.rules import IptablesRules
from .loop import SyncLoop
from .nftables.kernel import NftKernel
from .nftables.rules import NftablesRules
from .node import PRIMARY, NodeView, Settings
from .proxier import SLICES_OF_SERVICE, Proxier
from .tracking import set_up

log = logging.getLogger(__name__)

Object = dict[str, Any]
CniAgent = Callable[[Path, bool], AbstractContextManager[object]]
"""Serves the plugins on the socket of that path; whether NetworkPolicies are enforced here."""
Policies = Callable[[str, InformerFactory, Clock], Awaitable[None]]
"""Enforces NetworkPolicies on the node of that name until cancelled."""
Announcer = Callable[[str, AddressRange, InformerFactory, Clock], Awaitable[None]]
"""Answers for those addresses of load balancers, within the range, that the node of that name was given."""
_ROUTES = "routes"


class Proxy:
    """kube-proxy: Services into rules; and, in the same process to save its memory, the routes of the pod network."""

    def __init__(
        self,
        config: Config,
        client: ClientConfig,
        cni_agent: CniAgent | None,
        policies: Policies | None,
        announcer: Announcer | None,
    ) -> None:
        self._config, self._client, self._clock = config, client, SystemClock()
        self._cni_agent, self._policies, self._announcer = cni_agent, policies, announcer
        self._trace = Trace("kube-proxy")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Rules and routes stay when it ends: traffic does not depend on this process."""
        use(self._trace)
        async with AsyncExitStack() as undo:
            self._serve_cni(undo)
            client = await undo.enter_async_context(Client(self._client, "kube-proxy"))
            factory = InformerFactory(client)
            recorder = SeriesRecorder(client, "kube-proxy", self._clock)
            events = ProxyEvents(recorder, self._config.node_name)
            tcp_liberal = _ensure_sysctls(self._config)
            parts = _Parts(self._config, factory, self._clock, events, tcp_liberal=tcp_liberal)
            told = self._config.mode == NFTABLES or Iptables(self._config.families[0]).is_nf_tables
            tasks: list[asyncio.Task[object]] = []
            undo.push_async_callback(parts.service_health.close)
            undo.push_async_callback(lambda: cancel_and_wait(*tasks))
            tasks += [asyncio.ensure_future(part.run()) for part in (factory, recorder)]
            tasks += [asyncio.ensure_future(door) for door in self._doors(parts, stop)]
            tasks.append(asyncio.ensure_future(parts.run_routes()))
            tasks.append(asyncio.ensure_future(parts.run_rules(told)))
            events.starting()
            if self._policies is not None and self._config.network_policies:
                tasks.append(asyncio.ensure_future(self._policies(self._config.node_name, factory, self._clock)))
            if self._announcer is not None:
                for pool in self._config.announce:
                    announcing = self._announcer(self._config.node_name, pool, factory, self._clock)
                    tasks.append(asyncio.ensure_future(announcing))
            await wait_first(stop, *tasks)

    def _serve_cni(self, undo: AsyncExitStack) -> None:
        """First of all: pods start whether or not the API answers."""
        if self._cni_agent is None or self._config.cni_socket is None:
            return
        try:
            undo.enter_context(self._cni_agent(self._config.cni_socket, self._config.network_policies))
        except OSError as error:
            log.warning("CNI plugins do their work themselves: no socket %s: %s", self._config.cni_socket, error)

    async def _shown_trace(self, _: web.Request) -> web.Response:
        return web.json_response(self._trace.document())

    def _doors(self, parts: _Parts, stop: asyncio.Event) -> list[Any]:
        doors: list[Any] = []
        if self._config.healthz is not None:
            healthz = functools.partial(parts.healthz.serve, *self._config.healthz)
            doors.append(keep_open("Healthz", healthz, stop, self._clock))
        if self._config.metrics is not None:
            show_build(version_info())
            server = DebugServer(*self._config.metrics, config={"kubeproxy.config.k8s.io": _shown(self._config)})
            server.route("/proxyMode", functools.partial(_proxy_mode, self._config.mode))
            server.route("/debug/trace", self._shown_trace)
            doors.append(keep_open("Metrics", server.run, stop, self._clock))
        return doors


class _Parts:
    """The proxy's parts and the events that run between them."""

    def __init__(
        self, config: Config, factory: InformerFactory, clock: SystemClock, events: ProxyEvents, *, tcp_liberal: bool
    ) -> None:
        self._config, self._clock, self._tcp_liberal = config, clock, tcp_liberal
        self._services, self._slices = factory.get(SERVICES), factory.get(ENDPOINTSLICES)
        self._nodes = factory.get(NODES, transform=trim)
        self._slices.lister.add_index(SLICES_OF_SERVICE, lambda one: filter(None, (services.slice_service(one),)))
        self.proxiers = [self._proxier(family) for family in config.families]
        self._eligibility = Eligibility()
        self.healthz = Healthz(self.proxiers, clock, 2 * config.sync_period, self._eligibility)
        self.service_health = ServiceHealth(self.healthz.healthy, events.health_check_failed)
        self._loop = SyncLoop(
            self.proxiers,
            self.service_health,
            clock,
            min_period=config.min_sync_period,
            sync_period=config.sync_period,
        )
        self._queue = WorkQueue(clock)
        network = PodNetwork(
            config.node_name,
            self._nodes.lister,
            Kernel(),
            conf_dir=config.cni_conf_dir,
            data_dir=config.cni_data_dir,
            mtu=config.pod_mtu,
            mode=config.pod_network,
        )
        self._routes = Controller("node-routes", network.reconcile, self._queue)
        self._services.add_handler(self._service_changed, on_delete=self._service_changed)
        self._slices.add_handler(
            self._slice_changed, self._slice_updated, on_delete=lambda each: self._slice_changed(each, gone=True)
        )
        self._nodes.add_handler(self._node_changed, on_delete=self._node_changed)

    async def run_rules(self, told: bool) -> None:
        for informer in (self._services, self._slices, self._nodes):
            await informer.wait_synced()
        await self._loop.run(told_by_kernel=told)

    async def run_routes(self) -> None:
        if not self._config.node_routes:
            return
        await self._nodes.wait_synced()
        self._queue.add(_ROUTES)
        await self._routes.run()

    def _proxier(self, family: int) -> Proxier:
        config = self._config
        cluster = next((c for c in config.cluster_cidrs if ipaddress.ip_network(c).version == family), "")
        settings = Settings(
            family=family,
            masquerade_bit=config.masquerade_bit,
            localhost_node_ports=config.serves_localhost and family == 4,
            primary_node_port_address=config.node_port_addresses == (PRIMARY,),
            tcp_liberal=self._tcp_liberal,
        )
        backend: Backend
        if config.mode == NFTABLES:
            backend, other = NftablesRules(NftKernel(family), settings, self._clock), remove_iptables
        else:
            backend, other = IptablesRules(Iptables(family), settings), remove_nftables
        return Proxier(
            config.node_name,
            self._services.lister,
            self._slices.lister,
            backend,
            family,
            NodeView(cluster_cidr=cluster, masquerade_all=config.masquerade_all),
            self._clock,
            functools.partial(forget_stale, family),
            functools.partial(other, family),
            settings.answering,
            functools.partial(_chosen_addresses, config.node_port_addresses, family),
        )

    def _service_changed(self, service: Object) -> None:
        for proxier in self.proxiers:
            proxier.service_changed(objects.key(service))
        self._changed()

    def _slice_changed(self, endpoint_slice: Object, *, gone: bool = False) -> None:
        for proxier in self.proxiers:
            proxier.slice_changed(endpoint_slice, gone=gone)
        self._changed()

    def _slice_updated(self, old: Object, new: Object) -> None:
        if services.slice_service(old) != services.slice_service(new):
            self._slice_changed(old, gone=True)
        self._slice_changed(new)

    def _node_changed(self, node: Object) -> None:
        self._queue.add(_ROUTES)
        if objects.name(node) != self._config.node_name:
            return
        self._eligibility.seen(node)
        network = node_network(node)
        for proxier in self.proxiers:
            family = proxier.family
            proxier.node_changed(objects.labels(node), network.address(family), network.pod_cidr(family))
        self._changed()

    def _changed(self) -> None:
        self.healthz.queued()
        for proxier in self.proxiers:
            observed.LAST_QUEUED.labels(proxier.label).set_to_current_time()
        if self._synced(self._services, self._slices, self._nodes):
            self._loop.changed()

    @staticmethod
    def _synced(*informers: Informer) -> bool:
        return all(informer.has_synced for informer in informers)


def build(
    config: Config,
    client: ClientConfig,
    cni_agent: CniAgent | None = None,
    policies: Policies | None = None,
    announcer: Announcer | None = None,
) -> Proxy:
    return Proxy(config, client, cni_agent, policies, announcer)


def _ensure_sysctls(config: Config) -> bool:
    """As upstream: those of tracking, and node ports on 127.0.0.1 need packets from there to leave by other interfaces.

    Returns whether TCP is tracked liberally.
    """
    if config.serves_localhost:
        path = Path("/proc/sys/net/ipv4/conf/all/route_localnet")
        if path.read_text().strip() != "1":
            path.write_text("1")
    return set_up(config.tracking)


def _chosen_addresses(networks: tuple[str, ...], family: int) -> tuple[str, ...] | None:
    """This machine's addresses within the networks; None when none is given: all of them. Raises OSError."""
    if networks == (PRIMARY,):
        return None
    mine = [network for text in networks if (network := ipaddress.ip_network(text)).version == family]
    if not mine or any(network.prefixlen == 0 for network in mine):
        return None
    with Netlink() as netlink:
        held = [
            ipaddress.ip_address(address.ip)
            for link in links.list_links(netlink)
            for address in links.list_addresses(netlink, link.index)
        ]
    return tuple(sorted({str(ip) for ip in held if any(ip in network for network in mine)}))


def _shown(config: Config) -> dict[str, Any]:
    of_mode: dict[str, Any] = {
        "masqueradeAll": config.masquerade_all,
        "masqueradeBit": config.masquerade_bit,
        "minSyncPeriod": f"{config.min_sync_period:g}s",
        "syncPeriod": f"{config.sync_period:g}s",
    }
    if config.mode != NFTABLES:
        of_mode["localhostNodePorts"] = config.localhost_node_ports
    return {
        "clusterCIDR": ",".join(config.cluster_cidrs),
        "hostnameOverride": config.node_name,
        "mode": config.mode,
        "nodePortAddresses": list(config.node_port_addresses),
        config.mode: of_mode,
    }


async def _proxy_mode(mode: str, _: web.Request) -> web.Response:
    return web.Response(text=mode)
