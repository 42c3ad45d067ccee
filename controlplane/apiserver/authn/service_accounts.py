"""Service account tokens as users: the claims are checked against the objects that the token is bound to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from controlplane.apiserver.authn import remarks
from controlplane.apiserver.authn.legacy_tokens import LegacyTokens, Lookup, Mark
from controlplane.apiserver.authn.token_authenticators import of_the_server
from controlplane.apiserver.authn.tokens import LEGACY_ISSUER, TokenError, Verifier
from controlplane.apiserver.authn.user import SERVICE_ACCOUNTS, User, authenticated

_CACHED_SECONDS = 10.0  # upstream's success TTL of the token cache
_CACHED_MAX = 4096
_GONE_AFTER = 60.0  # seconds after deletionTimestamp in which a bound object still counts


class ServiceAccountAuthenticator:
    """Verifies a bearer token, and that its account, pod, secret or node is still the one it was issued for."""

    def __init__(self, verifier: Verifier, lookup: Lookup, mark: Mark, clock: Clock) -> None:
        self._verifier, self._lookup, self._clock = verifier, lookup, clock
        self._legacy = LegacyTokens(lookup, mark, clock)
        # By token and audiences: until when, whose, for which of them, and by how much it is stale.
        self._known: OrderedDict[tuple[str, tuple[str, ...]], tuple[float, User, list[str], str]] = OrderedDict()

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, list[str]] | None:
        """The user and those of the token's audiences that were asked for; None when the token is not of our issuer.

        audiences: what the token must be meant for; the server's own when empty. Raises TokenError.
        """
        if not self._verifier.is_ours(token):
            return None
        key, now = (token, tuple(audiences)), self._clock.monotonic()
        if (hit := self._known.get(key)) is not None and now < hit[0]:
            _say_stale(hit[3])
            return hit[1], hit[2]
        wanted = list(audiences) or list(self._verifier.audiences)
        wall = self._clock.now().timestamp()
        claims = self._verifier.verify(token, wall, wanted)
        if claims["iss"] == LEGACY_ISSUER:
            # Not kept: it ends with its Secret, not by itself. It is meant for the API server alone.
            return of_the_server(await self._legacy.user(claims, token), self._verifier.audiences, audiences)
        user = await self._user(claims)
        named = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        found = user, [audience for audience in wanted if audience in named]
        _say_stale(stale := _staleness(claims, wall))
        self._known[key] = now + _CACHED_SECONDS, *found, stale
        while len(self._known) > _CACHED_MAX:
            self._known.popitem(last=False)
        return found

    async def _user(self, claims: dict[str, Any]) -> User:
        bound = claims.get("kubernetes.io")
        if not isinstance(bound, dict):
            raise TokenError("the token names no service account")
        namespace = str(bound.get("namespace") or "")
        account = bound.get("serviceaccount") or {}
        name = str(account.get("name") or "")
        if claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise TokenError("the token's subject is not its service account")
        found = await self._account(namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims['jti']}",)
        if secret := bound.get("secret"):
            await self._bound("secret", namespace, secret)
        if node := bound.get("node"):
            extra["authentication.kubernetes.io/node-name"] = (str(node.get("name")),)
            if node.get("uid"):
                extra["authentication.kubernetes.io/node-uid"] = (str(node["uid"]),)
            if not bound.get("pod"):
                await self._bound("node", "", node)
        if pod := bound.get("pod"):
            await self._bound("pod", namespace, pod)
            extra["authentication.kubernetes.io/pod-name"] = (str(pod["name"]),)
            extra["authentication.kubernetes.io/pod-uid"] = (str(pod["uid"]),)
        groups = (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")
        return authenticated(str(claims["sub"]), groups, str(found["metadata"]["uid"]), extra)

    async def _account(self, namespace: str, reference: dict[str, Any]) -> dict[str, Any]:
        name, uid = str(reference.get("name") or ""), str(reference.get("uid") or "")
        found = await self._found("serviceaccounts", namespace, name)
        if (have := found["metadata"].get("uid")) != uid:
            raise TokenError(f"service account UID ({have}) does not match claim ({uid})")
        if self._is_long_gone(found):
            raise TokenError(f"service account {namespace}/{name} has been deleted")
        return found

    async def _bound(self, kind: str, namespace: str, reference: dict[str, Any]) -> None:
        """What the token is bound to besides its account."""
        uid = str(reference.get("uid") or "")
        found = await self._lookup(f"{kind}s", namespace, str(reference.get("name") or ""))
        if found is not None and (have := found["metadata"].get("uid")) != uid:
            raise TokenError(f"{kind} UID ({have}) does not match service account {kind} ref claim ({uid})")
        if found is None or self._is_long_gone(found):
            raise TokenError("service account token has been invalidated")

    async def _found(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        found = await self._lookup(plural, namespace, name)
        if found is None:
            raise TokenError(f'{plural} "{name}" not found')
        return found

    def _is_long_gone(self, obj: dict[str, Any]) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return bool(deleted) and self._clock.now().timestamp() > times.parse(deleted).timestamp() + _GONE_AFTER


def _staleness(claims: dict[str, Any], wall: float) -> str:
    """What the audit event says of a token that lives longer than was asked for, and should have been renewed."""
    limit = claims["kubernetes.io"].get("warnafter")
    if not isinstance(limit, int | float) or not limit or wall <= limit:
        return ""
    return f"subject: {claims['sub']}, seconds after warning threshold: {int(wall) - int(limit)}"


def _say_stale(stale: str) -> None:
    if stale:
        remarks.annotate("authentication.k8s.io/stale-token", stale)
