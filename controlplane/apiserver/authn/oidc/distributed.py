"""Distributed claims (OpenID Connect Core 1.0, section 5.6.2): a token that does not hold the groups may name an
endpoint that tells them, in a token of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import structs

from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.authn.oidc import claims
from controlplane.apiserver.authn.oidc.claims import Claims, quoted
from controlplane.apiserver.authn.oidc.configuration import Issuer
from controlplane.apiserver.authn.oidc.provider import GetFailed, Provider
from controlplane.apiserver.authn.tokens import TokenError

_MOST = 32
"""Issuers of such tokens that are remembered, for one provider."""


class Distributed:
    """One claim of one provider's tokens. Who tells it may be another issuer, of the same authority and for the same
    audiences; its keys are looked for when it first told something, and until then it is not believed."""

    def __init__(self, claim: str, issuer: Issuer, own: Provider, algorithms: Sequence[str], clock: Clock) -> None:
        self._claim, self._issuer, self._own, self._clock = claim, issuer, own, clock
        self._algorithms = tuple(algorithms)
        self._others: dict[str, tuple[Provider, asyncio.Task[None]]] = {}

    async def expand(self, said: Claims) -> Claims:
        """The claims, with the one that was asked for elsewhere if they do not hold it. Raises TokenError."""
        source = claims.source_of(said, self._claim) if self._claim not in said else None
        if source is None:
            return said
        try:
            return {**said, self._claim: await self._ask(*source)}
        except TokenError as error:
            raise TokenError(f"oidc: could not expand distributed claims: {error}") from None

    async def close(self) -> None:
        """End what was started, and the connections."""
        for provider, finding in self._others.values():
            await cancel_and_wait(finding)
            await provider.close()

    async def _ask(self, endpoint: str, access_token: str) -> object:
        headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        try:
            status, body, _ = await self._own.get(endpoint, headers)
            if not 200 <= int(status.partition(" ")[0]) <= 226:
                raise GetFailed(f"error while getting distributed claim JWT: {status}")
        except GetFailed as error:
            raise TokenError(f"while getting distributed claim {quoted(self._claim)}: {error}") from None
        token = body.decode(errors="replace")
        issuer = claims.issuer_of(token)
        if not issuer:
            told = f"getting untrusted issuer from endpoint {endpoint} failed for claim {quoted(self._claim)}"
            raise TokenError(f"{told}: malformed token")
        provider = self._provider(issuer)
        if not provider.ready:
            told = f"verifier not initialized for issuer: {quoted(issuer)}"
            raise TokenError(f"verifying untrusted issuer {issuer} failed: {told}")
        try:
            parsed = claims.parse(token)
            now = self._clock.now().timestamp()
            claims.check(parsed, issuer, self._issuer.audiences, self._algorithms, now)
            await provider.verify(parsed)
        except TokenError as error:
            raise TokenError(f"verify distributed claim token: {error}") from None
        if self._claim not in parsed.claims:
            told = f"jwt returned by distributed claim endpoint {quoted(endpoint)} did not contain claim"
            raise TokenError(f"{told}: {self._claim}")
        return parsed.claims[self._claim]

    def _provider(self, issuer: str) -> Provider:
        if issuer == self._issuer.url:
            return self._own
        if issuer not in self._others:
            if len(self._others) >= _MOST:
                raise TokenError(f"verifying untrusted issuer {issuer} failed: there are {_MOST} others already")
            other = Provider(structs.replace(self._issuer, url=issuer, discovery_url=""), self._clock)
            self._others[issuer] = other, asyncio.create_task(other.find())
        return self._others[issuer][0]
