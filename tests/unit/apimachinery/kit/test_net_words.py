"""Failures of connections as Go's net tells of them."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from apimachinery.kit import net_words


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "dial tcp h:1: connect: connection refused"),
        (OSError(errno.EHOSTUNREACH, "x"), "dial tcp h:1: connect: no route to host"),
        (OSError(errno.ENETUNREACH, "x"), "dial tcp h:1: connect: network is unreachable"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "dial tcp h:1: connect: connection timed out"),
        (TimeoutError(), "dial tcp h:1: i/o timeout"),
    ],
)
def test_nobody_is_reached(error: OSError, told: str) -> None:
    assert net_words.undialled(error, "h:1") == told


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("search x\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n", "10.0.0.2:53"),
        ("nameserver fd00::2\n", "[fd00::2]:53"),
        ("", "127.0.0.1:53"),
        (None, "127.0.0.1:53"),
    ],
)
def test_a_name_without_an_address(tmp_path: Path, text: str | None, server: str) -> None:
    conf = tmp_path / "resolv.conf"
    if text is not None:
        conf.write_text(text)
    absent, later = (socket.gaierror(code, "x") for code in (socket.EAI_NONAME, socket.EAI_AGAIN))
    assert net_words.unresolved(absent, "m", conf) == f"dial tcp: lookup m on {server}: no such host"
    assert net_words.unresolved(later, "m", conf) == f"dial tcp: lookup m on {server}: server misbehaving"
    assert net_words.unresolved(TimeoutError(), "m", conf) == f"dial tcp: lookup m on {server}: i/o timeout"


def test_what_ends_a_connection() -> None:
    reset = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    assert net_words.broken(reset, "a:1->b:2") == "read tcp a:1->b:2: read: connection reset by peer"
    assert net_words.broken(None, "a:1->b:2") == "EOF"
