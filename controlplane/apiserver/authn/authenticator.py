"""The order in which a request's proofs are looked at: front proxy, client certificate, bearer token (a browser's in a
subprotocol), anonymous."""

from __future__ import annotations

import logging
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from apimachinery.kit.clock import Clock
from apimachinery.kit.quick_metrics import QuickHistogram
from apimachinery.meta import status
from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.authn import websocket_tokens
from controlplane.apiserver.authn.certificates import Authorities, Peer, issued_by, refused_because
from controlplane.apiserver.authn.token_authenticators import TokenAuthenticator
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import ANONYMOUS, User, authenticated

log = logging.getLogger(__name__)

_HOUR, _DAY = 3600, 86400
_EXPIRATION = QuickHistogram(
    "apiserver_client_certificate_expiration_seconds",
    "[ALPHA] Distribution of the remaining lifetime on the certificate used to authenticate a request.",
    (),
    buckets=(
        0,
        *(hours * _HOUR for hours in (0.5, 1, 2, 6, 12)),
        *(days * _DAY for days in (1, 2, 4, 7, 30, 90, 180, 360)),
    ),
).labels()

Headers = CIMultiDictProxy[str]

_NO_TOKEN = "invalid bearer token"  # said of every token that proves nothing, before the reasons that there are


class FrontProxy:
    """--requestheader-*: a proxy that shows a certificate of its own authorities names the user in headers. They may be
    those of clients too."""

    def __init__(
        self,
        proxies: Authorities,
        clients: Authorities,
        allowed_names: tuple[str, ...],
        username_headers: tuple[str, ...],
        group_headers: tuple[str, ...],
        extra_prefixes: tuple[str, ...],
    ) -> None:
        self._proxies, self.clients, self._allowed = proxies, clients, allowed_names
        self._usernames, self._groups, self._extras = username_headers, group_headers, extra_prefixes

    def authenticate(self, peer: Peer, headers: Headers) -> User | None:
        """The user named in the headers when the certificate is a front proxy's; None otherwise."""
        if self._allowed and peer.common_name not in self._allowed:
            return None
        if not issued_by(peer, self._proxies, self.clients):
            return None
        name = next((headers[key] for key in self._usernames if headers.get(key)), "")
        if not name:
            return None
        groups = tuple(value for key in self._groups for value in headers.getall(key, []) if value)
        return authenticated(name, groups, extra=_extra(headers, self._extras))

    def leaves(self, peer: Peer) -> bool:
        """Whether the certificate may be a client's own, by which it is known."""
        return peer.issuer not in self._proxies or issued_by(peer, self.clients, self._proxies)


class Authenticator:
    """Every proof the server understands. A proof that does not hold is no harm beside one that does.

    anonymous: whether who shows none is let in; anonymous_paths: where, everywhere when there are none."""

    def __init__(
        self,
        tokens: TokenAuthenticator,
        clock: Clock,
        *,
        front_proxy: FrontProxy | None = None,
        anonymous: bool = True,
        anonymous_paths: tuple[str, ...] = (),
    ) -> None:
        self._tokens, self._clock = tokens, clock
        self._front_proxy, self._anonymous = front_proxy, anonymous
        self._anonymous_paths = frozenset(anonymous_paths)

    async def authenticate(self, peer: Peer | None, headers: Headers, path: str) -> User:
        """The user of a request. peer: the certificate that the client showed; path: what it asks for, decoded.

        Raises ApiError 401 when no proof holds, and for none when anonymous requests are refused.
        """
        user = self._by_certificate(peer, headers) if peer is not None else None
        if user is not None:
            return user
        wrong: tuple[str, ...] = ()
        try:
            token = _token(headers)
            found = await self._tokens.authenticate(token) if token else None
            if token and found is None:
                raise TokenError
        except TokenError as error:
            found, wrong = None, (_NO_TOKEN, *error.reasons)
        if found is not None:
            return found[0]
        if peer is not None and not peer.is_valid(self._clock.now().timestamp()):
            trusted = self._front_proxy.clients if self._front_proxy is not None else {}
            wrong = (refused_because(peer, trusted, self._clock.now()), *wrong)
        if wrong:
            log.error('"Unable to authenticate the request" err=%s', quoted(aggregate(wrong)))
            raise status.unauthorized()
        # As upstream: whoever shows a certificate wants to be somebody.
        if not self._anonymous or peer is not None:
            raise status.unauthorized()
        if self._anonymous_paths and path not in self._anonymous_paths:
            raise status.unauthorized()
        return ANONYMOUS

    def _by_certificate(self, peer: Peer, headers: Headers) -> User | None:
        now = self._clock.now().timestamp()
        valid = peer.is_valid(now)
        user = self._front_proxy.authenticate(peer, headers) if valid and self._front_proxy is not None else None
        if user is not None:
            return user
        # Of every certificate that may be a client's own, also of those that are over.
        _EXPIRATION.observe(peer.not_after - now)
        if not valid:
            return None
        if self._front_proxy is not None and not self._front_proxy.leaves(peer):
            return None
        return peer.user


def _token(headers: Headers) -> str:
    """The bearer token, "" for none. Raises TokenError."""
    scheme, _, held = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and (held := held.strip()):
        return held
    return websocket_tokens.token(headers) if "Sec-WebSocket-Protocol" in headers else ""


def _extra(headers: Headers, prefixes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for prefix in prefixes:
        for header in headers:
            if header.lower().startswith(prefix.lower()):
                key = unquote(header[len(prefix) :].lower())
                found.setdefault(key, tuple(headers.getall(header)))
    return found
