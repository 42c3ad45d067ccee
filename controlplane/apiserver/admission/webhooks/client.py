"""Talking to webhooks: HTTPS POST to a URL or a Service, trusting the configured authority alone, no redirects."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
from msgspec import Struct
from yarl import URL

from apimachinery.client.config import ClientConfig
from apimachinery.kit import net_words, tls
from apimachinery.meta import status
from controlplane.apiserver.admission.webhooks.credentials import Credentials
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.streams.addresses import is_proxyable, proxyable_address

Object = dict[str, Any]

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer; a patch of the largest object fits several times."""
_CONTEXTS = 200  # authorities whose TLS contexts are kept (upstream's defaultCacheSize)
_HTTPS = 443
_AGENT = "kube-apiserver-admission"


class CallFailed(Exception):
    """The webhook did not answer; the message is what Go's client would say."""


class Endpoint(Struct, frozen=True):
    """Where a webhook is: the URL that is asked for, how Go's client tells of it, the address that is dialled, and the
    name its certificate must have."""

    url: URL
    shown: str
    host: str
    port: int
    name: str


class WebhookClient:
    """`services`: where ClusterIPs are looked up; on a master kube-proxy's rules route them. credentials: who the
    server is to which webhook; None: nobody."""

    def __init__(self, services: ObjectStore, credentials: Credentials | None = None) -> None:
        self._services, self._credentials = services, credentials or Credentials()
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[tuple[bytes | None, ClientConfig | None], ssl.SSLContext] = OrderedDict()

    async def post(self, config: Mapping[str, Any], body: bytes, timeout: float) -> bytes:
        """The body of a good answer. config: a WebhookClientConfig; timeout: seconds. Raises CallFailed."""
        endpoint = await self.endpoint(config, timeout)
        shown = endpoint.shown
        url = URL.build(scheme="https", host=endpoint.host, port=endpoint.port).join(endpoint.url.relative())
        identity = self._credentials.of(endpoint.name, endpoint.port)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, */*",
            "Host": endpoint.url.authority,
            "User-Agent": _AGENT,
        }
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            if identity is not None and (shows := identity.authorization()):
                headers["Authorization"] = shows
            async with asyncio.timeout(timeout):
                async with self._session.post(
                    url,
                    data=body,
                    headers=headers,
                    ssl=self._context(config.get("caBundle"), identity),
                    server_hostname=endpoint.name,
                    allow_redirects=False,
                ) as answer:
                    data = await body_of(answer)
        except (TimeoutError, aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            raise CallFailed(f'failed to call webhook: Post "{shown}": {words_of(error, endpoint)}') from None
        if len(data) > MAX_ANSWER:
            raise CallFailed(f'failed to call webhook: Post "{shown}": the answer has more than {MAX_ANSWER} bytes')
        if not 200 <= answer.status <= 206:
            raise CallFailed(f"failed to call webhook: {status.ApiError.from_status(answer.status, data).message}")
        return data

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()

    async def endpoint(self, config: Mapping[str, Any], timeout: float) -> Endpoint:
        """Where to call; the webhook is told in how many seconds an answer is too late. Raises CallFailed."""
        service = config.get("service")
        if service is not None:
            return await self._of_service(service, timeout)
        if not config.get("url"):
            raise CallFailed("could not get REST client: webhook configuration must have either service or URL")
        try:
            url = URL(config["url"])
            if url.host is None or url.scheme != "https":
                raise ValueError("not an https URL")
        except ValueError as error:
            raise CallFailed(f"could not get REST client: Unparsable URL: {error}") from None
        url = _limited(url, timeout)
        return Endpoint(url, str(url), url.host or "", url.port or _HTTPS, url.host or "")

    async def _of_service(self, reference: Mapping[str, Any], timeout: float) -> Endpoint:
        name, namespace = reference.get("name") or "", reference.get("namespace") or ""
        port = reference.get("port") or _HTTPS
        host = f"{name}.{namespace}.svc"
        base = URL.build(scheme="https", host=host, port=port)
        url = _limited(base.join(URL(reference.get("path") or "/", encoded=False)), timeout)
        # Go shows the port of a Service even where it is the usual one.
        text = f"https://{host}:{port}{url.raw_path_qs}"
        service = await self._services.find(namespace, name)
        if service is None:
            raise CallFailed(f'failed to call webhook: Post "{text}": service "{name}" not found')
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            try:
                address = await proxyable_address(spec.get("externalName") or "", port)
            except status.ApiError as error:
                raise CallFailed(f'failed to call webhook: Post "{text}": {error.message}') from None
            return Endpoint(url, text, address, port, host)
        if not any(each.get("port") == port for each in spec.get("ports") or ()):
            raise CallFailed(
                f'failed to call webhook: Post "{text}": no service port {port} found for service "{name}"'
            )
        address = spec.get("clusterIP") or ""
        if address in ("", "None"):
            raise CallFailed(
                f'failed to call webhook: Post "{text}": cannot route to service with ClusterIP "{address}"'
            )
        if not is_proxyable(address):
            raise CallFailed(f'failed to call webhook: Post "{text}": address not allowed')
        return Endpoint(url, text, address, port, host)

    def _context(self, bundle: str | None, identity: ClientConfig | None) -> ssl.SSLContext:
        authority = base64.b64decode(bundle) if bundle else None
        shown = identity if identity is not None and identity.cert_data else None
        key = authority, shown
        found = self._contexts.get(key)
        if found is None:
            made = replace(shown, server="https://", ca_data=authority).ssl_context() if shown is not None else None
            found = self._contexts[key] = made or tls.client_context(authority)
            if len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        return found


def _limited(url: URL, timeout: float) -> URL:
    return url.update_query(timeout=f"{timeout:g}s")


async def body_of(answer: aiohttp.ClientResponse) -> bytes:
    """An answer's body; of one that is longer than MAX_ANSWER the first bytes, one more than that."""
    data = await answer.content.read(MAX_ANSWER + 1)
    while len(data) <= MAX_ANSWER and (more := await answer.content.read(MAX_ANSWER + 1 - len(data))):
        data += more
    return data


def words_of(error: Exception, endpoint: Endpoint) -> str:
    """What Go's HTTP client says of the same failure."""
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return net_words.unresolved(error.os_error, endpoint.host)
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError):
        return net_words.unshaken(cause)
    if isinstance(error, aiohttp.ClientConnectorError):
        address = net_words.joined(endpoint.host, endpoint.port)
        dialling = "Connect call failed" in str(cause)  # and not TLS on top of it
        return net_words.undialled(error.os_error, address) if dialling else net_words.broken(error.os_error, address)
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "EOF"
    return str(error) or type(error).__name__


def _cause(error: Exception) -> Exception:
    """What aiohttp's error stands for."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
