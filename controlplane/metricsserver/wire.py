"""The only place where metrics-server's real objects are made and joined."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import replace

from apimachinery.api.catalogue import CONFIGMAPS, NODES, PODS
from apimachinery.cache.informer import Informer
from apimachinery.client.delegation import Gate
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.client.trust import FrontProxy, Trust
from apimachinery.kit import tls
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.selfsigned import self_signed_context
from apimachinery.kit.tasks import run_until
from apimachinery.meta.status import ApiError

from .config import MetricsConfig
from .scraper import Scraper
from .server import MetricsApi
from .storage import Storage

log = logging.getLogger(__name__)

_RETRY = 1.0


class Daemon:
    """metrics-server, ready to run."""

    def __init__(self, config: MetricsConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._storage = Storage(config.resolution)
        self._ended = clock.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure and serve until `stop` is set."""
        config = self._config
        async with Client(config.client, "metrics-server") as client:
            trust = await self._trust(client)
            nodes = Informer(client, NODES, label_selector=config.node_selector)
            pods = Informer(client, PODS, field_selector="status.phase=Running")
            api = MetricsApi(
                Gate(client, self._clock, trust),
                self._storage,
                nodes.lister,
                pods.lister,
                self._clock,
                live={"ping": lambda: None, "metric-collection-timely": self._late},
                ready={
                    "metric-storage-ready": lambda: None if self._storage.ready else "no metrics to serve",
                    "metadata-informer-sync": lambda: None if pods.has_synced else "not synced yet",
                },
            )
            context = _server_context(config, trust)
            serving = api.run(stop, config.bind_address, config.secure_port, context)
            await run_until(stop, (nodes.run(), pods.run(), self._measure(nodes), serving))

    async def _measure(self, nodes: Informer) -> None:
        config = self._config
        scraper = Scraper(
            config.client,
            _kubelet_context(config),
            config.address_types,
            config.kubelet_port,
            node_port=config.node_port,
            timeout=config.kubelet_timeout,
            clock=self._clock,
        )
        await nodes.wait_synced()
        async with scraper:
            while True:
                began = self._clock.monotonic()
                self._storage.store(await scraper.scrape(nodes.lister.list()))
                self._ended = self._clock.monotonic()
                await self._clock.sleep(max(0.0, config.resolution - (self._ended - began)))

    def _late(self) -> str | None:
        late = self._clock.monotonic() - self._ended - 1.5 * self._config.resolution
        return f"the last round ended {late:.0f} s too long ago" if late > 0 else None

    async def _trust(self, client: Client) -> Trust:
        """Wait for what the API server publishes: without its front proxy no request would ever come."""
        while True:
            try:
                found = await client.get(CONFIGMAPS, "extension-apiserver-authentication", "kube-system")
                data = found.get("data") or {}
                return Trust(FrontProxy.read(data), data.get("client-ca-file", ""))
            except (ApiError, ApiUnreachable, KeyError, ValueError) as error:
                log.warning("Unable to get configmap/extension-apiserver-authentication in kube-system: %s", error)
                await self._clock.sleep(_RETRY)


def build(config: MetricsConfig, clock: Clock | None = None) -> Daemon:
    """Join the parts. No I/O happens before `run`."""
    return Daemon(config, clock or SystemClock())


def _kubelet_context(config: MetricsConfig) -> ssl.SSLContext:
    """Our credentials of the API server are shown to kubelets too: the same authority is behind both."""
    client = replace(config.client, ca_data=config.kubelet_ca or config.client.ca_data)
    context = client.ssl_context() or tls.client_context(client.ca_data)
    if config.insecure_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _server_context(config: MetricsConfig, trust: Trust) -> ssl.SSLContext:
    if config.tls_cert_file is not None and config.tls_private_key_file is not None:
        context = tls.server_context(config.tls_cert_file, config.tls_private_key_file)
    else:
        context = self_signed_context("metrics-server")
    trust.ask_clients(context)
    return context
