"""The network side of probes and hooks: a request or a connection, with a deadline, certificates unchecked.

A bare HTTP/1.1 client: a node probes hundreds of times a second, and nothing of a session, a pool or a redirect across
hosts is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

_BODY_MAX = 10 * 1024
_REDIRECTS = 10
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}


class ConnectProblem(Exception):
    """No answer: refused, unreachable, too late or not HTTP. The text is for the event."""


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
        raise ConnectProblem(f"dial tcp {_address(host, port)}: i/o timeout") from None
    except OSError as error:
        raise ConnectProblem(f"dial tcp {_address(host, port)}: connect: {_reason(error)}") from None
    writer.close()


async def http_get(
    action: Mapping[str, Any], host: str, port: int, timeout: float, agent: str = "kube-probe/1.32"
) -> tuple[int, str]:
    """GET as an httpGet action says; returns (status, the body's beginning). Follows redirects to the same host; of one
    elsewhere it returns the redirection itself.

    timeout: seconds for all of it. agent: who asks, unless a header says. Raises ConnectProblem.
    """
    path = action.get("path") or "/"
    scheme, root = (action.get("scheme") or "HTTP").lower(), "" if path.startswith("/") else "/"
    url = f"{scheme}://{_address(host, port)}{root}{path}"
    headers = [(str(header["name"]), str(header.get("value") or "")) for header in action.get("httpHeaders") or ()]
    try:
        async with asyncio.timeout(timeout):
            for _ in range(_REDIRECTS):
                status, location, body = await _request(url, host, port, headers, agent)
                if status not in _REDIRECTING or not location:
                    return status, body
                url = urljoin(url, location)
                target = urlsplit(url)
                if target.hostname != host.lower() or target.scheme not in _PORTS:
                    return status, body
                port = target.port or _PORTS[target.scheme]
            raise ConnectProblem(f'Get "{url}": stopped after {_REDIRECTS} redirects')
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise ConnectProblem(f'Get "{url}": {reason}') from None
    except OSError as error:
        raise ConnectProblem(f'Get "{url}": dial tcp {_address(host, port)}: connect: {_reason(error)}') from None


async def _request(
    url: str, host: str, port: int, headers: Sequence[tuple[str, str]], agent: str
) -> tuple[int, str, str]:
    """The status, where the answer says to look instead, and the body's beginning."""
    target = urlsplit(url)
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    context = _unchecked() if target.scheme == "https" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        lines = [f"GET {path} HTTP/1.1", *_headers(headers, _address(host, port), agent)]
        writer.write(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
        await writer.drain()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ConnectProblem(f'Get "{url}": EOF') from None
        words = head[0].split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
            raise ConnectProblem(f'Get "{url}": malformed HTTP response "{head[0][:80]}"')
        location = next((line[9:].strip() for line in head[1:] if line.lower().startswith("location:")), "")
        body = b""
        with contextlib.suppress(OSError):
            body = await reader.read(_BODY_MAX)
        return int(words[1]), location, body.decode(errors="replace")
    finally:
        writer.close()


def _headers(asked: Sequence[tuple[str, str]], address: str, agent: str) -> list[str]:
    """The lines of the headers asked for, and of the usual ones; an empty one takes the usual away, but not Host."""
    usual = {"host": f"Host: {address}", "user-agent": f"User-Agent: {agent}", "accept": "Accept: */*"}
    given = {name.lower() for name, text in asked if text or name.lower() != "host"}
    lines = [line for name, line in usual.items() if name not in given]
    return lines + [f"{name}: {text}" for name, text in asked if text or name.lower() not in usual]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    inner = error.strerror or str(error)
    return inner.lower() if inner else type(error).__name__
