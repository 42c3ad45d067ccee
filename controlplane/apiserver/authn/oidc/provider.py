"""A provider, asked over HTTPS: its discovery document once, its keys when a token needs one that is not known.

Nobody waits for a provider that is away: until it has answered, its tokens are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL

from apimachinery.kit import tls
from apimachinery.kit.clock import Clock
from controlplane.apiserver.admission.webhooks.client import MAX_ANSWER, Endpoint, body_of, words_of
from controlplane.apiserver.authn.oidc import jwks
from controlplane.apiserver.authn.oidc.claims import Token, quoted
from controlplane.apiserver.authn.oidc.configuration import Issuer
from controlplane.apiserver.authn.oidc.proxies import proxy_for
from controlplane.apiserver.authn.tokens import TokenError

log = logging.getLogger(__name__)

WELL_KNOWN = "/.well-known/openid-configuration"
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
_AGAIN = 10.0  # seconds between two attempts to find the provider
_BETWEEN = 1.0  # seconds, at least, between two questions for its keys: tokens that anybody makes up cause them
_SKEW = 30.0  # seconds before the keys expire from which they are asked for again


class GetFailed(Exception):
    """The provider did not answer as it should; the text says why, as Go's client would."""


class Provider:
    """Whose tokens `verify` knows. `trouble`: why none can be verified yet; "" when they can."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer, self._clock = issuer, clock
        self._session: aiohttp.ClientSession | None = None
        self._keys_url = ""
        self._keys: tuple[jwks.Key, ...] = ()
        self._fresh_until = 0.0
        self._asked = -_BETWEEN
        self._asking: asyncio.Task[None] | None = None
        self.trouble = f"oidc: authenticator for issuer {quoted(issuer.url)} is not initialized"

    @property
    def ready(self) -> bool:
        """Whether the provider was found."""
        return bool(self._keys_url)

    async def find(self) -> None:
        """Ask for the discovery document until it is there."""
        while True:
            try:
                self._keys_url = await self._discover()
                self.trouble = ""
                return
            except GetFailed as error:
                self.trouble = str(error)
                log.error("oidc authenticator: initializing plugin: %s", error)
            await self._clock.sleep(_AGAIN)

    async def verify(self, token: Token) -> None:
        """Raises TokenError for a token that none of the provider's keys has signed. Where a key that is not known may
        have, the keys are asked for: by one question for all who wait, and not once more before the provider's own
        Cache-Control says that it may have new ones."""
        if jwks.any_verifies(self._keys, token.header, token.signed, token.signature):
            return
        if self._clock.now().timestamp() + _SKEW > self._fresh_until:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_for_keys())
            try:
                await asyncio.shield(self._asking)
            except GetFailed as error:
                raise TokenError(f"failed to verify signature: fetching keys {error}") from None
            if jwks.any_verifies(self._keys, token.header, token.signed, token.signature):
                return
        raise TokenError("failed to verify signature: failed to verify id token signature")

    async def close(self) -> None:
        """End the connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _discover(self) -> str:
        url = self._issuer.discovery_url or self._issuer.url.removesuffix("/") + WELL_KNOWN
        status, body, _ = await self.get(url)
        if status != "200 OK":
            raise GetFailed(f"{status}: {body.decode(errors='replace')}")
        document = _json(body, "oidc: failed to decode provider discovery object: ")
        told = document.get("issuer") if isinstance(document, dict) else None
        if told != self._issuer.url:
            expected = f"expected {quoted(self._issuer.url)} got {quoted(told)}"
            raise GetFailed(f"oidc: issuer did not match the issuer returned by provider, {expected}")
        keys_url = document.get("jwks_uri")
        if not isinstance(keys_url, str) or not keys_url:
            raise GetFailed("oidc: the provider names no jwks_uri")
        return keys_url

    async def _ask_for_keys(self) -> None:
        await self._clock.sleep(self._asked + _BETWEEN - self._clock.monotonic())
        self._asked = self._clock.monotonic()
        try:
            status, body, headers = await self.get(self._keys_url)
        except GetFailed as error:
            raise GetFailed(f"oidc: get keys failed {error}") from None
        text = body.decode(errors="replace")
        if status != "200 OK":
            raise GetFailed(f"oidc: get keys failed: {status} {text}")
        now = self._clock.now().timestamp()
        try:
            self._keys = jwks.read(_json(body, ""))
        except (ValueError, GetFailed) as error:
            raise GetFailed(f"oidc: failed to decode keys: {error} {text}") from None
        self._fresh_until = now + jwks.seconds_to_keep(headers, now)

    async def get(self, address: str, headers: Mapping[str, str] | None = None) -> tuple[str, bytes, dict[str, str]]:
        """Status line, body and headers of an answer. Raises GetFailed."""
        if self._session is None:
            authority = self._issuer.certificate_authority
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls.client_context(authority or None)),
                timeout=_TIMEOUT,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            url = URL(address)
            endpoint, proxy = _endpoint(url), proxy_for(url)
        except ValueError as error:
            raise GetFailed(f'Get "{address}": {error}') from None
        try:
            async with self._session.get(url, headers=headers, proxy=proxy) as answer:
                data = await body_of(answer)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise GetFailed(f'Get "{address}": {_words(error, endpoint, proxy)}') from None
        if len(data) > MAX_ANSWER:
            raise GetFailed(f'Get "{address}": the answer has more than {MAX_ANSWER} bytes')
        told = {name.title(): value for name, value in answer.headers.items()}
        return f"{answer.status} {answer.reason}", data, told


def _endpoint(url: URL) -> Endpoint:
    return Endpoint(url, str(url), url.host or "", url.port or 0, url.host or "")


def _words(error: Exception, endpoint: Endpoint, proxy: URL | None) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.message
    if isinstance(error, aiohttp.ClientProxyConnectionError) and proxy is not None:
        return f"proxyconnect tcp: {words_of(error, _endpoint(proxy))}"
    return words_of(error, endpoint)


def _json(body: bytes, what: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GetFailed(f"{what}{error}") from None
