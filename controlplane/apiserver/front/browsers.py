"""What web browsers are told: which pages' scripts may read answers (CORS), and to come by TLS only (HSTS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aiohttp import web

_METHODS = "POST, GET, OPTIONS, PUT, DELETE, PATCH"
_HEADERS = (
    "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since"
)
_HELP = (
    "List of allowed origins for CORS, comma separated. An allowed origin can be a regular expression to support "
    "subdomain matching. If this list is empty CORS will not be enabled. Please ensure each expression matches the "
    "entire hostname by anchoring to the start with '^' or including the '//' prefix, and by anchoring to the end with "
    r"'$' or including the ':' port separator suffix. Examples of valid expressions are '//example\.com(:|$)' and "
    r"'^https://example\.com(:|$)'"
)
_DIRECTIVES = (
    "--strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, preload. "
    "see https://tools.ietf.org/html/rfc6797#section-6.1 for more information"
)


class Browsers:
    """origins: patterns of the origins whose pages may read answers (--cors-allowed-origins). directives: of
    Strict-Transport-Security."""

    def __init__(self, origins: Sequence[str], directives: Sequence[str]) -> None:
        self._origins = [_compiled(pattern) for pattern in origins]
        self._hsts = {"Strict-Transport-Security": "; ".join(directives)} if directives else {}

    def lines(self, request: web.BaseRequest) -> dict[str, str]:
        """The headers of its answer."""
        return self._hsts | self._shared(request) if self._origins else self._hsts

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a browser that asks, before it lets a script ask; None for every other request. Who asks is not
        identified, as upstream: browsers show no credentials then."""
        if request.method != "OPTIONS" or not self._shared(request):
            return None
        return web.Response(status=204)

    def _shared(self, request: web.BaseRequest) -> dict[str, str]:
        origin = request.headers.get("Origin", "")
        if not origin or not any(pattern.search(origin) for pattern in self._origins):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _HEADERS,
            "Access-Control-Expose-Headers": "Date",
            "Access-Control-Allow-Credentials": "true",
        }


def wrong_directives(directives: Sequence[str]) -> Iterator[str]:
    """Upstream's sentence for each that --strict-transport-security-directives cannot be."""
    for directive in directives:
        name, equals, value = directive.partition("=")
        if not directive.strip():
            yield "empty value in strict-transport-security-directives"
        elif directive not in ("includeSubDomains", "preload") and (name != "max-age" or not equals or "=" in value):
            yield _DIRECTIVES


def wrong_origins(origins: Sequence[str]) -> Iterator[str]:
    """Upstream's sentence for each that --cors-allowed-origins cannot be: a pattern that is not held at both ends of
    the host lets others in (CVE-2022-1996)."""
    for pattern in origins:
        if not pattern:
            yield f"empty value in --cors-allowed-origins, help: {_HELP}"
        elif why := _wrong(pattern):
            yield f"--cors-allowed-origins has an invalid regular expression: {why}, help: {_HELP}"


def _wrong(pattern: str) -> str:
    from controlplane.apiserver.cel.errors import CelError

    try:
        _compiled(pattern)
    except CelError as error:
        return str(error)
    if any(mark in pattern for mark in ("^", "//")) and any(mark in pattern for mark in ("$", ":")):
        return ""
    return "regular expression does not pin to start/end of host in the origin header"


def _compiled(pattern: str) -> Any:
    from controlplane.apiserver.cel.library.regex import compiled  # which few servers need

    return compiled(pattern)
