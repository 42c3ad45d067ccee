"""What a process trusts when nobody says so: nothing, which also starts it sooner."""

from __future__ import annotations

import os

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def load_aiohttp_without_system_authorities() -> None:
    """Import aiohttp for a daemon whose every connection has a TLS context of its own.

    aiohttp makes its two default contexts while it is imported and reads the system's authorities for each: a tenth of
    a daemon's start in CPU time. Here they are empty, so that a connection made without a context is refused rather
    than trusted. Call it before anything that imports aiohttp; when aiohttp is loaded already, nothing changes.
    """
    held = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, os.devnull))
    try:
        import aiohttp.connector  # noqa: F401
    finally:
        for name, value in held.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
