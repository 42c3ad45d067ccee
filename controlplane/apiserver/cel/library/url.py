"""URLs (Kubernetes' library.URLs): absolute ones, or absolute paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, quote

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import overload
from controlplane.apiserver.cel.values import Opaque

_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Url(Opaque):
    """The parts that expressions ask for."""

    scheme: str
    host: str
    path: str
    query: str
    cel_name: ClassVar[str] = "kubernetes.URL"

    @property
    def hostname(self) -> str:
        """Without the port and the brackets."""
        if self.host.startswith("["):
            return self.host[1 : self.host.rfind("]")]
        return self.host.rpartition(":")[0] if ":" in self.host else self.host

    @property
    def port(self) -> str:
        """ "" without one."""
        return self.host[self.host.rfind("]") + 1 :].partition(":")[2]


def parse(text: str) -> Url:
    """Go's url.ParseRequestURI, in the part that decides validity. Raises CelError."""
    match = _PARTS.fullmatch(text)
    wrong = CelError(f"URL parse error during conversion from string: parse {_quoted(text)}: invalid URI for request")
    if match is None or not text or any(ord(char) < 0x20 or char == "\x7f" for char in text):
        raise wrong
    scheme, host, path, query, _ = match.groups()
    if "#" in text:
        # While it judges, Go takes a fragment for more of the path, which must come after a host.
        before, _, fragment = text.partition("#")
        if _BAD_ESCAPE.search(fragment) or (host and not path and query is None):
            raise wrong
        return parse(before)
    if scheme is None and not path.startswith("/"):
        raise wrong
    if scheme is not None and host is None and not path.startswith("/"):
        return Url(scheme.lower(), "", "", query or "")  # mailto:somebody has no path
    host = (host or "").rpartition("@")[2]
    port = host[host.rfind("]") + 1 :].partition(":")[2]
    if " " in host or (port and not port.isdigit()) or _BAD_ESCAPE.search(path) or host.count("[") != host.count("]"):
        raise wrong
    return Url((scheme or "").lower(), host, path, query or "")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_url(text: str) -> bool:
    try:
        parse(text)
    except CelError:
        return False
    return True


def _escaped_path(url: Url) -> str:
    return quote(url.path, safe="/$&+,:;=@!'()*~-._%")


def _query(url: Url) -> dict[str, list[str]]:
    return {key: list(values) for key, values in parse_qs(url.query, keep_blank_values=True).items()}


FUNCTIONS = [
    overload("url(string): URL", parse, 0.1),
    overload("isURL(string): bool", _is_url, 0.1),
    overload("URL.getScheme(): string", lambda url: url.scheme),
    overload("URL.getHost(): string", lambda url: url.host),
    overload("URL.getHostname(): string", lambda url: url.hostname),
    overload("URL.getPort(): string", lambda url: url.port),
    overload("URL.getEscapedPath(): string", _escaped_path),
    overload("URL.getQuery(): map(string, list(string))", _query),
]
