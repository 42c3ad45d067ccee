"""Who asks, and whether they may: both are the API server's to say (delegated authentication and authorization).

A request comes through the API server's aggregator, which shows the front proxy's certificate and names the user in
headers; or directly, with a bearer token that TokenReview knows. Answers are kept for ten seconds, as upstream does.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from multidict import CIMultiDictProxy

from apimachinery.api.catalogue import SUBJECTACCESSREVIEWS, TOKENREVIEWS
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock
from apimachinery.meta import status

_KEPT, _MOST = 10.0, 1000

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class User:
    """Whoever asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name, self.groups, self.uid, tuple(sorted(self.extra.items())))


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """The ConfigMap extension-apiserver-authentication. names: allowed, every one when empty. Header names as sent."""

    ca: str
    names: tuple[str, ...]
    users: tuple[str, ...]
    groups: tuple[str, ...]
    extras: tuple[str, ...]

    @classmethod
    def read(cls, data: Mapping[str, str]) -> FrontProxy:
        """Raises KeyError or ValueError when the API server has no front proxy."""

        def listed(key: str) -> tuple[str, ...]:
            return tuple(json.loads(data.get(f"requestheader-{key}") or "[]"))

        return cls(
            data["requestheader-client-ca-file"],
            listed("allowed-names"),
            listed("username-headers"),
            listed("group-headers"),
            listed("extra-headers-prefix"),
        )

    def user(self, certificate: Mapping[str, Any] | None, headers: CIMultiDictProxy[str]) -> User | None:
        """The user whom the front proxy names. certificate: verified by `ca`, in the ssl module's form."""
        if certificate is None or (self.names and _common_name(certificate) not in self.names):
            return None
        name = next((headers[header] for header in self.users if headers.get(header)), "")
        if not name:
            return None
        groups = tuple(text for header in self.groups for text in headers.getall(header, []))
        extra: dict[str, tuple[str, ...]] = {}
        for header in headers:
            for prefix in self.extras:
                if header.lower().startswith(prefix.lower()):
                    extra[header[len(prefix) :].lower()] = tuple(headers.getall(header))
        return User(name, groups, "", extra)


class Gate:
    """Answers from the API server, remembered for a moment."""

    def __init__(self, client: Client, front: FrontProxy, clock: Clock) -> None:
        self._client, self._front, self._clock = client, front, clock
        self._users: OrderedDict[object, tuple[float, User | None]] = OrderedDict()
        self._verdicts: OrderedDict[object, tuple[float, str | None]] = OrderedDict()

    async def authenticate(self, certificate: Mapping[str, Any] | None, headers: CIMultiDictProxy[str]) -> User:
        """Who asks. Raises ApiError 401."""
        user = self._front.user(certificate, headers)
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if user is None and scheme.lower() == "bearer" and token.strip():
            user = await self._of_token(token.strip())
        if user is None:
            raise status.unauthorized()
        return user

    async def authorize(self, user: User, attributes: Mapping[str, Mapping[str, str]], what: str) -> None:
        """Raises ApiError 403. attributes: resourceAttributes or nonResourceAttributes. what: for the message."""
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
            told = (await self._client.create(SUBJECTACCESSREVIEWS, review))["status"]
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
            told = (await self._client.create(TOKENREVIEWS, review))["status"]
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


def _common_name(certificate: Mapping[str, Any]) -> str:
    subject = certificate.get("subject") or ()
    return next((text for part in subject for key, text in part if key == "commonName"), "")
