"""Failures of a connection in the words of Go's net and crypto/tls, which every log of a cluster is full of."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

from .refusals import Refused

HEADERS_LATE = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
BODY_LATE = "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
HANDSHAKE_LATE = "net/http: TLS handshake timeout"
_RESOLV_CONF = Path("/etc/resolv.conf")
_NAMELESS = (socket.EAI_NONAME, socket.EAI_NODATA)
_ALERTS = {
    "UNKNOWN_CA": "unknown certificate authority",
    "BAD_CERTIFICATE": "bad certificate",
    "CERTIFICATE_EXPIRED": "expired certificate",
    "CERTIFICATE_REQUIRED": "certificate required",
    "HANDSHAKE_FAILURE": "handshake failure",
    "PROTOCOL_VERSION": "protocol version not supported",
}


def joined(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def undialled(error: OSError, address: str, network: str = "tcp") -> str:
    """Why there is no connection to an address (`host:port`)."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"dial {network} {address}: i/o timeout"
    return f"dial {network} {address}: connect: {_syscall(error)}"


def unresolved(error: OSError, name: str, resolv_conf: Path = _RESOLV_CONF) -> str:
    """Why a name has no address; Go names the server that it asked."""
    lookup = f"dial tcp: lookup {name} on {_server(resolv_conf)}"
    if isinstance(error, socket.gaierror):
        return f"{lookup}: {'no such host' if error.errno in _NAMELESS else 'server misbehaving'}"
    return f"{lookup}: i/o timeout" if isinstance(error, TimeoutError) else f"{lookup}: {_syscall(error)}"


def unshaken(error: OSError) -> str:
    """Why the TLS handshake with who answered failed."""
    if isinstance(error, Refused):
        return error.words
    if isinstance(error, TimeoutError):
        return HANDSHAKE_LATE
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return "http: server gave HTTP response to HTTPS client"
    if "_ALERT_" in reason:
        alert = reason.partition("_ALERT_")[2]
        return f"remote error: tls: {_ALERTS.get(alert) or alert.replace('_', ' ').lower()}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or error.errno is None:
        return "EOF"
    return f"tls: {reason.replace('_', ' ').lower()}" if reason else f"read: {_syscall(error)}"


def broken(error: Exception | None, ends: str, network: str = "tcp") -> str:
    """What ended a connection. ends: `from->to`."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"read {network} {ends}: i/o timeout"
    return f"read {network} {ends}: read: {_syscall(error)}" if isinstance(error, OSError) and error.errno else "EOF"


def _syscall(error: OSError) -> str:
    """asyncio's own words would name the address once more."""
    if error.errno is None:
        return str(error) or type(error).__name__
    return os.strerror(error.errno).lower()


def _server(resolv_conf: Path) -> str:
    """The first name server, as the C library and Go read the file; both have the machine's own for one without any."""
    try:
        lines = resolv_conf.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    servers = [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]
    return joined(servers[0] if servers else "127.0.0.1", 53)
