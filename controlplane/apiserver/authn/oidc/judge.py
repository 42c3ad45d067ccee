"""One provider's tokens as users: verified, filled up, mapped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.authn.oidc import claims
from controlplane.apiserver.authn.oidc.configuration import JWTAuthenticator
from controlplane.apiserver.authn.oidc.distributed import Distributed
from controlplane.apiserver.authn.oidc.mapping import user_of
from controlplane.apiserver.authn.oidc.provider import Provider
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User


class Judge:
    """Of the tokens of one provider."""

    def __init__(self, configured: JWTAuthenticator, algorithms: Sequence[str], clock: Clock) -> None:
        self._configured, self._algorithms, self._clock = configured, tuple(algorithms), clock
        issuer, groups = configured.issuer, configured.groups.claim
        self._provider = Provider(issuer, clock)
        # Of distributed claims only groups are looked for, as upstream.
        self._groups = Distributed(groups, issuer, self._provider, algorithms, clock) if groups else None
        self._finding: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for the provider, beside what the caller does next."""
        self._finding = asyncio.create_task(self._provider.find())

    async def found(self) -> None:
        """Return when the provider was found."""
        assert self._finding is not None
        await self._finding

    @property
    def trouble(self) -> str:
        """Why no token can be judged yet; "" when they can."""
        if self._provider.ready:
            return ""
        url = claims.quoted(self._configured.issuer.url)
        return f"oidc: authenticator for issuer {url} is not healthy: {self._provider.trouble}"

    async def user(self, token: str) -> User:
        """Raises TokenError."""
        if not self._provider.ready:
            raise TokenError("oidc: authenticator not initialized")
        try:
            parsed, issuer = claims.parse(token), self._configured.issuer
            claims.check(parsed, issuer.url, issuer.audiences, self._algorithms, self._clock.now().timestamp())
            await self._provider.verify(parsed)
        except TokenError as error:
            raise TokenError(f"oidc: verify token: {error}") from None
        said = parsed.claims if self._groups is None else await self._groups.expand(parsed.claims)
        return user_of(self._configured, said)

    async def close(self) -> None:
        """End what was started, and the connections."""
        if self._finding is not None:
            await cancel_and_wait(self._finding)
        if self._groups is not None:
            await self._groups.close()
        await self._provider.close()
