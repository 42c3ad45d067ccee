"""--authentication-token-webhook-config-file: tokens that a webhook knows, asked by TokenReviews (k8s.io/apiserver
token/webhook)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from controlplane.apiserver.authn.remote_reviews import RemoteReviews, ReviewFailed
from controlplane.apiserver.authn.token_authenticators import Found
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User, authenticated


class WebhookTokenAuthenticator:
    """audiences: the server's own, which a token that names none is meant for; ttl: seconds that an answer holds, that
    the token is nobody's too."""

    def __init__(self, reviews: RemoteReviews, audiences: Sequence[str], ttl: float) -> None:
        self._reviews, self._audiences, self._ttl = reviews, tuple(audiences), ttl

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """As `TokenAuthenticator`."""
        wanted = list(audiences or self._audiences)
        key = sha256(orjson.dumps([token, wanted])).digest()  # no token is kept
        told = self._reviews.remembered(key)
        if told is None:
            try:
                told = await self._reviews.ask({"token": token, "audiences": wanted}, {"user": {}})
            except ReviewFailed as error:
                raise TokenError(f"the webhook could not be asked: {error}") from None
            if not _failed(told):
                self._reviews.remember(key, told, self._ttl)
        meant = _words(told.get("audiences")) or self._audiences
        both = [each for each in wanted if each in meant]
        if not both:
            return None
        if _failed(told):
            raise TokenError(str(told["error"]))
        if told.get("authenticated") is not True:
            return None
        return _user(told.get("user")), both


def _failed(told: Mapping[str, Any]) -> bool:
    """Whether it could not tell, which may be otherwise the next time."""
    return told.get("authenticated") is not True and bool(told.get("error"))


def _user(told: object) -> User:
    info: Mapping[str, Any] = told if isinstance(told, dict) else {}
    extra = info.get("extra")
    extras = {str(key): _words(values) for key, values in extra.items()} if isinstance(extra, dict) else {}
    return authenticated(
        str(info.get("username") or ""), _words(info.get("groups")), str(info.get("uid") or ""), extras
    )


def _words(told: object) -> tuple[str, ...]:
    return tuple(str(each) for each in told) if isinstance(told, list) else ()
