"""Asking every kubelet for its figures, all at once, each within its time."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter, Histogram

from .points import Batch, parse_batch

log = logging.getLogger(__name__)

_MOST = 64 * 1024 * 1024  # bytes of an answer; a node with 110 pods says 100 KiB

# Longer than a round: a handshake costs an emulated machine 50 ms.
_KEPT_OPEN = 70.0

_REQUESTS = Counter("metrics_server_kubelet_request", "Number of requests sent to Kubelet API", ["success"])
_SECONDS = Histogram("metrics_server_kubelet_request_duration_seconds", "Duration of requests to Kubelet API")


class NoAddress(Exception):
    """The Node has none of the addresses that are asked for."""


def kubelet_url(node: Mapping[str, Any], types: Sequence[str], port: int, *, node_port: bool) -> str:
    """Where a Node's kubelet is asked. types: of addresses, the best first. Raises NoAddress."""
    status = node.get("status") or {}
    if node_port:
        said = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        port = int(said or port)
    for kind in types:
        for address in status.get("addresses") or ():
            if address["type"] == kind:
                host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
                return f"https://{host}:{port}/metrics/resource"
    raise NoAddress(f"node {node['metadata']['name']} had no addresses that matched types {list(types)}")


class Scraper:
    """Asks with our own credentials. Use as `async with`: connections are kept from round to round.

    tls: how the kubelets' certificates are judged, and our own if we have one. timeout: seconds for one kubelet.
    """

    def __init__(
        self, client: ClientConfig, tls: ssl.SSLContext, types: Sequence[str], port: int, *, node_port: bool,
        timeout: float, clock: Clock,
    ) -> None:  # fmt: skip
        self._client, self._tls, self._types, self._port = client, tls, types, port
        self._node_port, self._timeout, self._clock = node_port, timeout, clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, keepalive_timeout=_KEPT_OPEN)
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def scrape(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, Batch]:
        """What the nodes said, by name; those that did not answer are left out and told in the log."""
        assert self._session is not None, "outside of async with"
        session = self._session
        found = await asyncio.gather(*(self._one(session, node) for node in nodes))
        return {node["metadata"]["name"]: batch for node, batch in zip(nodes, found, strict=True) if batch is not None}

    async def _one(self, session: aiohttp.ClientSession, node: Mapping[str, Any]) -> Batch | None:
        began = self._clock.monotonic()
        try:
            batch = await self._ask(session, node)
        except (NoAddress, aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            log.error('"Failed to scrape node" err="%s" node="%s"', error or "timed out", node["metadata"]["name"])
            _REQUESTS.labels("false").inc()
            return None
        _REQUESTS.labels("true").inc()
        _SECONDS.observe(self._clock.monotonic() - began)
        return batch

    async def _ask(self, session: aiohttp.ClientSession, node: Mapping[str, Any]) -> Batch:
        url = kubelet_url(node, self._types, self._port, node_port=self._node_port)
        token = self._client.bearer()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with session.get(url, headers=headers) as answer:
            body = await answer.content.read(_MOST)
            while more := await answer.content.read(_MOST - len(body)):
                body += more
            if answer.status != 200:
                raise ValueError(f"request failed, status: {answer.status} {answer.reason!r}, url: {url}")
        return parse_batch(body, self._clock.now().timestamp())
