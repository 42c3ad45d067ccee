"""Bearer tokens of browsers, which cannot set Authorization on a WebSocket: one of the subprotocols that they name
holds the token (apiserver/pkg/authentication/request/websocket)."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from string import ascii_letters, digits

from multidict import MultiMapping

from controlplane.apiserver.authn.tokens import TokenError

_PREFIX = "base64url.bearer.authorization.k8s.io."
_ALPHABET = frozenset(f"{ascii_letters}{digits}-_")


def is_websocket(headers: MultiMapping[str]) -> bool:
    """Whether the client asks to speak WebSocket on this connection (wsstream.IsWebSocketRequest)."""
    if headers.get("Upgrade", "").lower() != "websocket":
        return False
    return any("upgrade" in line.lower() for line in headers.getall("Connection", []))


def without_token(line: str) -> list[str]:
    """The subprotocols that a Sec-WebSocket-Protocol names, but not the one that holds a token."""
    return [word for word in _words(line) if not word.startswith(_PREFIX)]


def token(headers: MultiMapping[str]) -> str:
    """The token that a WebSocket's client shows, "" for none. Raises TokenError."""
    if not is_websocket(headers):
        return ""
    named = [word for line in headers.getall("Sec-WebSocket-Protocol", []) for word in _words(line)]
    held = [word.removeprefix(_PREFIX) for word in named if word.startswith(_PREFIX)]
    if len(held) > 1:
        raise TokenError("a WebSocket's client names several tokens")
    if not held or not held[0]:
        return ""
    if len(named) == 1:
        # The server answers with one of the subprotocols, and that must not be the token.
        raise TokenError("a WebSocket's client names a token but no subprotocol beside it")
    try:
        if not set(held[0]) <= _ALPHABET:
            raise ValueError("a character that base64url has not")
        return urlsafe_b64decode(held[0] + "=" * (-len(held[0]) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise TokenError(f"the token of a WebSocket's client cannot be read: {error}") from None


def _words(line: str) -> list[str]:
    return [word for each in line.split(",") if (word := each.strip())]
