"""Who asks, and whether they may: both are the API server's to say (delegated authentication and authorization).

A request comes through the API server's aggregator, which shows the front proxy's certificate and names the user in
headers; or directly, with a certificate of the users' authority, with a bearer token that TokenReview knows, or with
nothing (k8s.io/apiserver/pkg/server/options). Answers are kept for ten seconds, as upstream does.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from aiohttp import web
from multidict import CIMultiDictProxy

from apimachinery.api.catalogue import SUBJECTACCESSREVIEWS, TOKENREVIEWS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.client.trust import NO_PROOF, Trust, User
from apimachinery.kit.clock import Clock
from apimachinery.kit.handshake import is_verified
from apimachinery.meta import status
from apimachinery.meta.status import ApiError

log = logging.getLogger(__name__)

_KEPT, _MOST = 10.0, 1000
_AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))

Value = TypeVar("Value")


class NotDecided(Exception):
    """The API server did not say whether somebody may."""


class Gate:
    """Answers from the API server, remembered for a moment. trust: whose certificates count; as of now nobody's."""

    def __init__(self, client: Client, clock: Clock, trust: Trust | None = None) -> None:
        self._client, self._clock = client, clock
        self.trust = trust or Trust()
        self._users: OrderedDict[object, tuple[float, User | None]] = OrderedDict()
        self._verdicts: OrderedDict[object, tuple[float, str | None]] = OrderedDict()

    async def authenticate(self, certificate: bytes | None, headers: CIMultiDictProxy[str]) -> User:
        """Who asks: ANONYMOUS for whoever tries no proof. certificate: as of
        `shown_certificate`.

        Raises ApiError 401 when there are proofs and none holds.
        """
        user = None
        if certificate is not None:
            user = self.trust.user(certificate, headers, self._clock.now())
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        if user is None and token:
            user = await self._of_token(token)
        if user is None:
            if certificate is not None or token:
                raise status.unauthorized()
            return ANONYMOUS
        if user.name == ANONYMOUS.name or _AUTHENTICATED in user.groups:
            return user
        return replace(user, groups=(*user.groups, _AUTHENTICATED))

    async def authorize(self, user: User, attributes: Mapping[str, Mapping[str, str]], what: str) -> None:
        """Raises ApiError 403, NotDecided. attributes: resourceAttributes or nonResourceAttributes. what: for the
        message."""
        if "system:masters" in user.groups:
            return
        key = (user.key, json.dumps(attributes, sort_keys=True))
        hit, refusal = self._known(self._verdicts, key)
        if not hit:
            spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups), **attributes}
            if user.uid:
                spec["uid"] = user.uid
            if user.extra:
                spec["extra"] = {name: list(texts) for name, texts in user.extra.items()}
            review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
            try:
                told = (await self._client.create(SUBJECTACCESSREVIEWS, review))["status"]
            except (ApiError, ApiUnreachable) as error:
                raise NotDecided(str(error)) from error
            refusal = None if told.get("allowed") else str(told.get("reason") or "")
            self._keep(self._verdicts, key, refusal)
        if refusal is not None:
            tail = f": {refusal}" if refusal else ""
            raise status.forbidden(None, "", f'User "{user.name}" cannot {what}{tail}')

    async def _of_token(self, token: str) -> User | None:
        key = hashlib.sha256(token.encode()).digest()
        hit, user = self._known(self._users, key)
        if not hit:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
            try:
                told = (await self._client.create(TOKENREVIEWS, review))["status"]
            except (ApiError, ApiUnreachable) as error:
                log.warning("a bearer token could not be reviewed: %s", error)
                return None
            if told.get("authenticated"):
                found = told.get("user") or {}
                extra = {name: tuple(texts) for name, texts in (found.get("extra") or {}).items()}
                groups = tuple(found.get("groups") or ())
                user = User(found.get("username") or "", groups, found.get("uid") or "", extra)
            self._keep(self._users, key, user)
        return user

    def _known(self, cache: OrderedDict[object, tuple[float, Value | None]], key: object) -> tuple[bool, Value | None]:
        until, value = cache.get(key, (0.0, None))
        return (True, value) if self._clock.monotonic() < until else (False, None)

    def _keep(self, cache: OrderedDict[object, tuple[float, Value | None]], key: object, value: Value | None) -> None:
        cache[key] = (self._clock.monotonic() + _KEPT, value)
        cache.move_to_end(key)
        while len(cache) > _MOST:
            cache.popitem(last=False)


def shown_certificate(request: web.BaseRequest) -> bytes | None:
    """DER of the certificate that the client of a request showed, or NO_PROOF; None when it showed none."""
    session = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
    if session is None:
        return None
    der: bytes | None = session.getpeercert(binary_form=True)
    return der if der is None or is_verified(session) else NO_PROOF


def undecided(request: web.BaseRequest, error: NotDecided) -> web.Response:
    """What upstream answers while nobody says whether a request may be."""
    text = f'Internal Server Error: "{request.raw_path}": {error}'
    for sign, said in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, said)
    return web.Response(status=500, text=f"{text}\n", headers={"X-Content-Type-Options": "nosniff"})
