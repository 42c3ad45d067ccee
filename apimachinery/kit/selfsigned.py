"""A certificate a daemon makes for itself when it was given none, as upstream components do for their health ports."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from . import tls
from .certs import Authority


def self_signed_context(
    cn: str, *, dns: tuple[str, ...] = ("localhost",), ips: tuple[str, ...] = ("127.0.0.1",)
) -> ssl.SSLContext:
    """Return a server context with a new certificate that only this process holds; clients cannot verify it."""
    pair = Authority.create(f"{cn}-ca").issue(cn, dns=dns, ips=ips, server=True)
    # The ssl module loads certificates from files only. The directory is private and gone at once.
    with tempfile.TemporaryDirectory(prefix="kubelab-tls-") as directory:
        cert, key = Path(directory, "cert"), Path(directory, "key")
        cert.write_bytes(pair.cert_pem)
        key.touch(mode=0o600)
        key.write_bytes(pair.key_pem)
        return tls.server_context(cert, key)
