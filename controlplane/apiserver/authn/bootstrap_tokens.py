"""Bootstrap tokens: `ID.SECRET`, kept in Secrets of kube-system, by which a new machine first speaks to the cluster
(plugin/pkg/auth/authenticator/token/bootstrap)."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from controlplane.apiserver.authn.token_authenticators import Found, of_the_server
from controlplane.apiserver.authn.user import authenticated

log = logging.getLogger(__name__)

Lookup = Callable[[str, str, str], Awaitable[dict[str, Any] | None]]

SECRET_TYPE = "bootstrap.kubernetes.io/token"
DEFAULT_GROUP = "system:bootstrappers"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokenAuthenticator:
    """--enable-bootstrap-token-auth."""

    def __init__(self, lookup: Lookup, audiences: Sequence[str], clock: Clock) -> None:
        self._lookup, self._audiences, self._clock = lookup, tuple(audiences), clock

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """system:bootstrap:ID in its groups; None for what is no valid bootstrap token, whatever it lacks."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        identity, secret = match.groups()
        name = f"bootstrap-token-{identity}"
        found = await self._lookup("secrets", "kube-system", name)
        if found is None or found["metadata"].get("deletionTimestamp") or found.get("type") != SECRET_TYPE:
            return None
        data = _decoded(found.get("data") or {})
        if not hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode()):
            log.info("bootstrap token %s does not match its secret", identity)
            return None
        if data.get("token-id") != identity or is_expired(data, self._clock):
            return None
        if data.get("usage-bootstrap-authentication") != "true":
            return None
        groups = extra_groups(data.get("auth-extra-groups", ""))
        if groups is None:
            log.error("secret kube-system/%s has invalid auth-extra-groups", name)
            return None
        user = authenticated(f"system:bootstrap:{identity}", groups)
        return of_the_server(user, self._audiences, audiences)


def extra_groups(text: str) -> tuple[str, ...] | None:
    """The groups of a token whose auth-extra-groups read `text`; None for one that is not allowed to it."""
    named = {word.strip() for word in text.split(",") if word.strip()}
    if not all(_GROUP.fullmatch(word) for word in named):
        return None
    return tuple(sorted({DEFAULT_GROUP, *named}))


def is_expired(data: Mapping[str, str], clock: Clock) -> bool:
    """Whether the token's `expiration` has passed, or cannot be read."""
    text = data.get("expiration", "")
    if not text:
        return False
    try:
        return times.parse(text) <= clock.now()
    except ValueError:
        return True


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    decoded = {}
    for key, value in data.items():
        try:
            decoded[key] = base64.b64decode(value).decode()
        except (binascii.Error, ValueError):
            continue
    return decoded
