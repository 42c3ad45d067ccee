"""The network side of probes and hooks: a request or a connection, with a deadline, certificates unchecked.

A bare HTTP/1.1 client: a node probes hundreds of times a second, and nothing of a session, a pool or a redirect across
hosts is wanted. What goes wrong is told as Go's client tells it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

from apimachinery.kit.net_words import joined
from apimachinery.meta.go_print import quoted

from .reading import BadHead, BodyProblem, read_body, read_head

__all__ = ["BodyProblem", "ConnectProblem", "NotTls", "http_get", "tcp_connect"]

_REDIRECTS = 10
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CODED = re.compile(r"(?:[\w.~!$&'()*+,;=:@\[\]/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What a request says by itself; an action's headers of these names are not sent.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "trailer"})


class ConnectProblem(Exception):
    """No answer: refused, unreachable, too late or not HTTP. The text is for the event."""


class NotTls(ConnectProblem):
    """Asked by https, the server does not speak TLS."""


@cache
def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def tcp_connect(host: str, port: int, timeout: float) -> None:
    """Open and close a connection. Raises ConnectProblem."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise ConnectProblem(f"dial tcp {joined(host, port)}: i/o timeout") from None
    except OSError as error:
        raise ConnectProblem(_undialled(host, port, error)) from None
    writer.close()


async def http_get(
    action: Mapping[str, Any], host: str, port: int, timeout: float | None, agent: str = "kube-probe/1.32"
) -> tuple[int, str]:
    """GET as an httpGet action says; returns (status, the body's beginning). Follows redirects to the same host; of one
    elsewhere it returns the redirection itself.

    timeout: seconds for all of it, None for any time. agent: who asks, unless a header says. Raises ConnectProblem;
    BodyProblem when there is a status, and what follows it breaks off.
    """
    url = _url(action, host, port)
    headers = [
        (_canonical(str(each["name"])), str(each.get("value") or "")) for each in action.get("httpHeaders") or ()
    ]
    for name, text in headers:
        if _FORBIDDEN.search(text):
            raise ConnectProblem(f'Get "{url}": net/http: invalid header field value for {quoted(name)}')
    named = next((text for name, text in headers if name == "Host"), "")
    deadline = asyncio.get_running_loop().time() + timeout if timeout is not None else None
    for _ in range(_REDIRECTS):
        status, location, body = await _request(url, named, headers, agent, deadline)
        if status not in _REDIRECTING or not location:
            return status, body
        url = urljoin(url, location)
        target = urlsplit(url)
        if target.hostname != host.lower() or target.scheme not in _PORTS:
            return status, body
        if urlsplit(location).scheme:
            named = ""
    raise ConnectProblem(f"Get {quoted(location)}: stopped after {_REDIRECTS} redirects")


def _url(action: Mapping[str, Any], host: str, port: int) -> str:
    """The path may be a whole URL, of which scheme and host do not count; what is none is a path as it stands."""
    path = str(action.get("path") or "/")
    parts = SplitResult("", "", quote(path, safe="$&+,/:;=@~"), "", "")
    if not _CONTROL.search(path) and not _BAD_ESCAPE.search(path):
        parts = urlsplit(path)
    scheme, root = str(action.get("scheme") or "HTTP").lower(), "" if parts.path.startswith("/") else "/"
    return parts._replace(scheme=scheme, netloc=joined(host, port), path=root + _escaped(parts.path)).geturl()


def _escaped(path: str) -> str:
    """A path as it is sent: as it was written if that is possible."""
    return path if _CODED.fullmatch(path) else quote(unquote_to_bytes(path), safe="$&+,/:;=@~")


async def _request(
    url: str, named: str, headers: Sequence[tuple[str, str]], agent: str, deadline: float | None
) -> tuple[int, str, str]:
    """The status, where the answer says to look instead, and the body's beginning. named: the Host to ask for."""
    target = urlsplit(url)
    writer = None
    try:
        async with asyncio.timeout_at(deadline):
            reader, writer = await _dial(url, target)
            path = (_escaped(target.path) or "/") + (f"?{target.query}" if target.query else "")
            lines = [f"GET {path} HTTP/1.1", *_headers(headers, named or target.netloc, agent), "Connection: close"]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            status, fields = await read_head(reader)
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise ConnectProblem(f'Get "{url}": {reason}') from None
    except BadHead as error:
        raise ConnectProblem(f'Get "{url}": {error}') from None
    except OSError as error:
        raise _broken(url, error, writer) from None
    else:
        body = await read_body(reader, status, fields, deadline)
        return status, fields.get("location", ""), body.decode(errors="replace")
    finally:
        if writer is not None:
            writer.close()


async def _dial(url: str, target: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises ConnectProblem, TimeoutError; what goes wrong in a handshake as it is."""
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    try:
        return await asyncio.open_connection(host, port, ssl=_unchecked() if target.scheme == "https" else None)
    except (TimeoutError, ssl.SSLError, ConnectionResetError):
        raise
    except OSError as error:
        raise ConnectProblem(f'Get "{url}": {_undialled(host, port, error)}') from None


def _headers(asked: Sequence[tuple[str, str]], host: str, agent: str) -> list[str]:
    """The lines of the headers asked for, and of the usual ones; an empty one takes the usual away, but not Host."""
    usual = {"User-Agent": agent, "Accept": "*/*"}
    given = {name for name, _ in asked}
    lines = [f"Host: {host}", *(f"{name}: {text}" for name, text in usual.items() if name not in given)]
    kept = [(name, text) for name, text in asked if name.lower() not in _OURS]
    return lines + [f"{name}: {text}" for name, text in kept if text or name not in usual]


def _canonical(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


def _undialled(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    return f"dial tcp {joined(host, port)}: connect: {_reason(error)}"


def _broken(url: str, error: OSError, writer: asyncio.StreamWriter | None) -> ConnectProblem:
    """What became of a connection before it had an answer."""
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return NotTls(f'Get "{url}": http: server gave HTTP response to HTTPS client')
        ended = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        why = "EOF" if ended else f"tls: {(error.reason or str(error)).replace('_', ' ').lower()}"
        return ConnectProblem(f'Get "{url}": {why}')
    if error.errno is None:  # the connection ended amid a handshake
        return ConnectProblem(f'Get "{url}": EOF')
    ends = [writer.get_extra_info(name) for name in ("sockname", "peername")] if writer is not None else []
    where = f" tcp {'->'.join(joined(*end[:2]) for end in ends)}:" if all(ends) and ends else ":"
    return ConnectProblem(f'Get "{url}": read{where} read: {_reason(error)}')


def _reason(error: OSError) -> str:
    """asyncio's own words would name the address once more."""
    return (os.strerror(error.errno) if error.errno else str(error) or type(error).__name__).lower()
