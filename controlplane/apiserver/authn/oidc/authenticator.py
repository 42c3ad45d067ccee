"""Tokens of OpenID Connect providers as users (k8s.io/apiserver/plugin/pkg/authenticator/token/oidc)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Histogram
from controlplane.apiserver.authn.oidc import claims
from controlplane.apiserver.authn.oidc.configuration import JWTAuthenticator
from controlplane.apiserver.authn.oidc.mapping import user_of
from controlplane.apiserver.authn.oidc.provider import Provider
from controlplane.apiserver.authn.token_authenticators import Found, of_the_server
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User

_LATENCY = Histogram(
    "apiserver_authentication_jwt_authenticator_latency_seconds",
    "Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache miss "
    "only (i.e. when the token is not found in the cache).",
    ["result", "jwt_issuer_hash"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class OIDCAuthenticator:
    """All providers that are configured; a token is judged by the one that it says it is of, and by no other.

    audiences: the server's own, whom such a token is meant for: its `aud` is the client that the user logged in with.
    """

    def __init__(
        self,
        providers: Sequence[JWTAuthenticator],
        algorithms: Sequence[str],
        audiences: Sequence[str],
        clock: Clock,
    ) -> None:
        self._algorithms, self._audiences, self._clock = tuple(algorithms), tuple(audiences), clock
        self._providers = {each.issuer.url: (each, Provider(each.issuer, clock)) for each in providers}

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """As `TokenAuthenticator`."""
        issuer = claims.issuer_of(token)
        if issuer not in self._providers:
            return None
        begun, result = self._clock.monotonic(), "failure"
        try:
            user = await self._user(token, *self._providers[issuer])
            result = "success"
        finally:
            named = f"sha256:{sha256(issuer.encode()).hexdigest()}"
            _LATENCY.labels(result, named).observe(self._clock.monotonic() - begun)
        return of_the_server(user, self._audiences, audiences)

    async def run(self) -> None:
        """Find the providers. Returns when all were found."""
        async with asyncio.TaskGroup() as finding:
            for _, provider in self._providers.values():
                finding.create_task(provider.find())

    async def close(self) -> None:
        """End the connections."""
        for _, provider in self._providers.values():
            await provider.close()

    async def _user(self, token: str, configured: JWTAuthenticator, provider: Provider) -> User:
        if not provider.ready:
            raise TokenError("oidc: authenticator not initialized")
        try:
            parsed, issuer = claims.parse(token), configured.issuer
            claims.check(parsed, issuer.url, issuer.audiences, self._algorithms, self._clock.now().timestamp())
            await provider.verify(parsed)
        except TokenError as error:
            raise TokenError(f"oidc: verify token: {error}") from None
        return user_of(configured, parsed.claims)
