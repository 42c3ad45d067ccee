"""Who asks, and whether they may: client certificates, bearer tokens by TokenReview, and SubjectAccessReview.

Upstream's pkg/kubelet/server/auth.go. Nothing is open without credentials.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import SUBJECTACCESSREVIEWS, TOKENREVIEWS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.kit.handshake import is_verified
from apimachinery.meta.status import ApiError

log = logging.getLogger(__name__)

_CACHE_MAX = 1000

# What else a client may say has no verb, and so nobody is allowed it who is not allowed everything.
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "spec": "spec", "checkpoint": "checkpoint"}


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Undecided(Exception):
    """Whether a request is allowed could not be asked. The text is the answer's."""


def attributes(method: str, path: str) -> tuple[str, str]:
    """(verb, subresource of nodes) that a request asks for."""
    top = path.strip("/").partition("/")[0]
    return _VERBS.get(method, ""), _SUBRESOURCES.get(top, "proxy")


def user_of_certificate(certificate: Mapping[str, Any] | None) -> User | None:
    """The subject of a verified client certificate: CN is the user, each O a group."""
    names: list[str] = []
    groups: list[str] = []
    for entry in (certificate or {}).get("subject") or ():
        for key, text in entry:
            if key == "commonName":
                names.append(text)
            elif key == "organizationName":
                groups.append(text)
    return User(names[0], (*groups, "system:authenticated")) if names else None


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that a client showed. user: whom it names. holds: whether it is one of the users' authority, and
    of this time."""

    user: User | None
    holds: bool


def shown_in(session: ssl.SSLObject | None, now: datetime) -> Shown | None:
    """The certificate of a connection; None when the client showed none."""
    certificate = session.getpeercert() if session is not None else None
    if session is None or not certificate:
        return None
    begins, ends = (ssl.cert_time_to_seconds(str(certificate[end])) for end in ("notBefore", "notAfter"))
    return Shown(user_of_certificate(certificate), is_verified(session) and begins <= now.timestamp() <= ends)


class Gate:
    """Decides requests. Answers of the API are kept for a while, so that a burst of requests asks once."""

    def __init__(
        self,
        client: Client | None,
        node: str,
        clock: Clock,
        *,
        anonymous: bool,
        webhook: bool,
        always_allow: bool,
        ttls: tuple[float, float, float],
    ) -> None:
        self._client, self._node, self._clock = client, node, clock
        self._anonymous, self._webhook, self._always_allow = anonymous, webhook, always_allow
        self._token_ttl, self._allowed_ttl, self._denied_ttl = ttls
        self._tokens: OrderedDict[str, tuple[float, User | None]] = OrderedDict()
        self._answers: OrderedDict[tuple[User, str, str], tuple[float, bool]] = OrderedDict()

    async def authenticate(self, shown: Shown | None, authorization: str) -> User | None:
        """The caller; None when the request must be refused with 401: also for a certificate that does not hold."""
        if shown is not None and shown.holds and shown.user is not None:
            return shown.user
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token:
            return await self._review_token(token.strip()) if self._webhook else None
        if shown is not None and not shown.holds:
            return None
        return User("system:anonymous", ("system:unauthenticated",)) if self._anonymous else None

    async def authorize(self, user: User, verb: str, subresource: str) -> bool:
        """Whether the user may. Cluster administrators always may: they repair what the API server cannot answer.

        Raises Undecided when it does not."""
        if self._always_allow or "system:masters" in user.groups:
            return True
        key = (user, verb, subresource)
        kept = self._answers.get(key)
        if kept is not None and kept[0] > self._clock.monotonic():
            return kept[1]
        allowed = await self._review_access(user, verb, subresource)
        life = self._allowed_ttl if allowed else self._denied_ttl
        _keep(self._answers, key, (self._clock.monotonic() + life, allowed))
        return allowed

    async def _review_token(self, token: str) -> User | None:
        key = hashlib.sha256(token.encode()).hexdigest()
        kept = self._tokens.get(key)
        if kept is not None and kept[0] > self._clock.monotonic():
            return kept[1]
        if self._client is None:
            return None
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            status = (await self._client.create(TOKENREVIEWS, review)).get("status") or {}
        except (ApiError, ApiUnreachable) as error:
            log.error("Unable to authenticate the request: %s", error)
            return None
        user = None
        if status.get("authenticated"):
            found = status.get("user") or {}
            extra = tuple(sorted((key, tuple(values)) for key, values in (found.get("extra") or {}).items()))
            user = User(found.get("username", ""), tuple(found.get("groups") or ()), found.get("uid", ""), extra)
        _keep(self._tokens, key, (self._clock.monotonic() + self._token_ttl, user))
        return user

    async def _review_access(self, user: User, verb: str, subresource: str) -> bool:
        if self._client is None:
            return False
        asked = {"verb": verb, "group": "", "version": "v1", "resource": "nodes", "subresource": subresource}
        spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups), "uid": user.uid}
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**spec, "resourceAttributes": {**asked, "name": self._node}},
        }
        try:
            answer = await self._client.create(SUBJECTACCESSREVIEWS, review)
        except (ApiError, ApiUnreachable) as error:
            log.error("Authorization error: %s", error)
            what = f"user={user.name}, verb={verb}, resource=nodes, subresource={subresource}"
            raise Undecided(f"Authorization error ({what})") from error
        return bool((answer.get("status") or {}).get("allowed"))


def _keep(cache: OrderedDict[Any, Any], key: Any, entry: Any) -> None:
    cache[key] = entry
    cache.move_to_end(key)
    while len(cache) > _CACHE_MAX:
        cache.popitem(last=False)


def forbidden(user: User, verb: str, subresource: str) -> str:
    """The body of a 403."""
    return f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])\n"
