"""Which headers go with a request that is handed on, and which come back with its answer."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict, MultiMapping

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authn.websocket_tokens import without_token

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "expect"}
)
# What proves or names the client to this server is not for whoever stands behind it.
_IDENTITY = frozenset({"authorization", "x-remote-user", "x-remote-uid", "x-remote-group"})
_IDENTITY_PREFIXES = ("impersonate-", "x-remote-extra-")
_CORS = frozenset(
    f"access-control-allow-{name}" for name in ("credentials", "headers", "methods", "origin")
)  # a backend must not open this server to other origins
# Characters of a header's name (RFC 9110 token), without the percent sign that escapes the others.
_TOKEN = "!#$&'*+-.^_`|~"


def request_headers(request: web.BaseRequest, *, upgrade: bool = False) -> CIMultiDict[str]:
    """The client's headers as a backend gets them: no proof of identity, one hop further.

    upgrade: keep what asks for another protocol.
    """
    named = {word.strip().lower() for word in request.headers.get("Connection", "").split(",")} - {"upgrade"}
    dropped = _IDENTITY | named | (frozenset({"content-length"}) if upgrade else _HOP_BY_HOP)
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.items():
        lower = name.lower()
        if lower == "sec-websocket-protocol":
            value = ", ".join(without_token(value))
            if not value:
                continue
        if lower not in dropped and not lower.startswith(_IDENTITY_PREFIXES):
            found.add(name, value)
    if "Content-Encoding" in found and not upgrade:
        # The body has been unpacked on its way in.
        del found["Content-Encoding"]
        found.popall("Content-Length", None)
    if request.remote:
        earlier = [value for value in found.popall("X-Forwarded-For", []) if value]
        found["X-Forwarded-For"] = ", ".join([*earlier, request.remote])
    return found


def without_handshake(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """A copy without what a client says to begin a WebSocket, which ends here."""
    return CIMultiDict([each for each in headers.items() if not each[0].lower().startswith("sec-websocket-")])


def identify(headers: CIMultiDict[str], user: User) -> None:
    """Name the user to an aggregated server, which believes the front proxy's certificate."""
    headers["X-Remote-User"] = user.name
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra.items():
        for value in values:
            headers.add(f"X-Remote-Extra-{quote(key, safe=_TOKEN)}", value)


def response_headers(headers: MultiMapping[str] | Mapping[str, str]) -> CIMultiDict[str]:
    """A backend's headers as the client gets them, without those of the connection."""
    named = {word.strip().lower() for word in headers.get("Connection", "").split(",")}
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _HOP_BY_HOP and lower not in named and lower not in _CORS:
            found.add(name, value)
    return found
