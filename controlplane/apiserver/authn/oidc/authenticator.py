"""Tokens of OpenID Connect providers as users (k8s.io/apiserver/plugin/pkg/authenticator/token/oidc)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Histogram
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.authn.oidc.claims import issuer_of
from controlplane.apiserver.authn.oidc.configuration import JWTAuthenticator
from controlplane.apiserver.authn.oidc.judge import Judge
from controlplane.apiserver.authn.token_authenticators import Found, of_the_server

_LATENCY = Histogram(
    "apiserver_authentication_jwt_authenticator_latency_seconds",
    "Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache miss "
    "only (i.e. when the token is not found in the cache).",
    ["result", "jwt_issuer_hash"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_PATIENCE = 60.0  # seconds in which new providers must be found (UpdateAuthenticationConfigTimeout)
_GRACE = 60.0  # seconds that requests under way may still use the old ones


class OIDCAuthenticator:
    """All providers that are configured; a token is judged by the one that it says it is of, and by no other.

    audiences: the server's own, whom such a token is meant for: its `aud` is the client that the user logged in with.
    """

    def __init__(
        self,
        configured: Sequence[JWTAuthenticator],
        algorithms: Sequence[str],
        audiences: Sequence[str],
        clock: Clock,
    ) -> None:
        self._algorithms, self._audiences, self._clock = tuple(algorithms), tuple(audiences), clock
        self._judges = _Judges(configured, algorithms, clock)
        self._retiring: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Look for the providers, beside what the caller does next."""
        self._judges.start()

    @property
    def troubles(self) -> list[str]:
        """Why tokens of some providers cannot be judged yet."""
        return self._judges.troubles

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """As `TokenAuthenticator`."""
        issuer = issuer_of(token)
        judge = self._judges.of.get(issuer)
        if judge is None:
            return None
        begun, result = self._clock.monotonic(), "failure"
        try:
            user = await judge.user(token)
            result = "success"
        finally:
            named = f"sha256:{sha256(issuer.encode()).hexdigest()}"
            _LATENCY.labels(result, named).observe(self._clock.monotonic() - begun)
        return of_the_server(user, self._audiences, audiences)

    async def update(self, configured: Sequence[JWTAuthenticator]) -> list[str]:
        """Judge by these providers from now on, when all of them have been found within a minute. Otherwise nothing
        changes, and why is returned."""
        new = _Judges(configured, self._algorithms, self._clock)
        new.start()
        try:
            if await new.found(_PATIENCE):
                self._retire(self._judges)
                self._judges, new = new, _Judges((), (), self._clock)
                return []
            return [*new.troubles, "context deadline exceeded"]
        finally:
            await new.close()

    async def close(self) -> None:
        """End what was started, and the connections."""
        await cancel_and_wait(*self._retiring)
        await self._judges.close()

    def _retire(self, old: _Judges) -> None:
        async def later() -> None:
            try:
                await self._clock.sleep(_GRACE)
            finally:
                await old.close()

        task = asyncio.create_task(later())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


class _Judges:
    """The providers of one configuration, by issuer."""

    def __init__(self, configured: Sequence[JWTAuthenticator], algorithms: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        self.of = {each.issuer.url: Judge(each, algorithms, clock) for each in configured}

    def start(self) -> None:
        for judge in self.of.values():
            judge.start()

    @property
    def troubles(self) -> list[str]:
        return [judge.trouble for judge in self.of.values() if judge.trouble]

    async def found(self, patience: float) -> bool:
        """Whether all providers are found within so many seconds."""
        finding = asyncio.gather(*(judge.found() for judge in self.of.values()))
        late = asyncio.ensure_future(self._clock.sleep(patience))
        try:
            done, _ = await asyncio.wait((finding, late), return_when=asyncio.FIRST_COMPLETED)
            return finding in done
        finally:
            finding.cancel()
            late.cancel()

    async def close(self) -> None:
        for judge in self.of.values():
            await judge.close()
