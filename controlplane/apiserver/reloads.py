"""Configuration files that are followed while the server runs: looking at them, and what /metrics says of it."""

from __future__ import annotations

import base64
import socket
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter, Gauge
from controlplane.apiserver.authn.reloading import state

_LOOK, _EVERY = 1.0, 60.0
"""Seconds between two looks at the file's times, and after which it is read all the same."""


async def follow(file: Path, clock: Clock, look: Callable[[], Awaitable[None]]) -> None:
    """For ever: call `look` at once, when the file was changed or replaced, and every minute."""
    seen: tuple[int, int, int] | None = (0, 0, 0)
    next_look = 0.0
    while True:
        if (found := state(file)) != seen or clock.monotonic() >= next_look:
            seen = found
            await look()
            next_look = clock.monotonic() + _EVERY
        await clock.sleep(_LOOK)


class Reloads:
    """How often a configuration was reloaded, and when last."""

    def __init__(self, configuration: str, clock: Clock) -> None:
        """configuration: `authentication`, `authorization` or `encryption`."""
        self._total, self._last = _metrics(configuration)
        self._clock = clock

    def count(self, status: str) -> None:
        """status: `success` or `failure`."""
        self._total.labels(status, server_identity()).inc()
        self._last.labels(status, server_identity()).set(self._clock.now().timestamp())


def server_name() -> str:
    """What upstream calls an API server by: `apiserver-` and the hash of the host's and the server's name, each behind
    its length in two bytes."""
    words = (socket.gethostname().encode(), b"kube-apiserver")
    named = sha256(b"".join(len(word).to_bytes(2, "big") + word for word in words)).digest()[:16]
    return f"apiserver-{base64.b32encode(named).decode().rstrip('=').lower()}"


def server_identity() -> str:
    """The hash of the server's name."""
    return f"sha256:{sha256(server_name().encode()).hexdigest()}"


@cache  # a name is registered once
def _metrics(configuration: str) -> tuple[Counter, Gauge]:
    prefix = f"apiserver_{configuration}_config_controller_automatic_reload"
    labels, about = ["status", "apiserver_id_hash"], f"of {configuration} configuration split by status and apiserver"
    return (
        Counter(f"{prefix}s_total", f"Total number of automatic reloads {about} identity.", labels),
        Gauge(f"{prefix}_last_timestamp_seconds", f"Timestamp of the last automatic reload {about} identity.", labels),
    )
