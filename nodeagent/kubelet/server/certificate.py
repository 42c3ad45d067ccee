"""The server's certificate: the configured one, or a self-signed one that is made once (kubelet.crt, kubelet.key)."""

from __future__ import annotations

import ssl
from pathlib import Path

from apimachinery.kit.files import write_atomic
from apimachinery.kit.tls import server_context
from nodeagent.kubelet.config import Config


def serving_context(config: Config, ips: tuple[str, ...]) -> ssl.SSLContext:
    """The TLS context of port 10250. Client certificates are asked for when there is an authority to check them."""
    cert, key = config.tls_cert_file, config.tls_key_file
    if cert is None or key is None:
        cert, key = config.cert_dir / "kubelet.crt", config.cert_dir / "kubelet.key"
        if not (cert.exists() and key.exists()):
            _make(cert, key, config.node_name, ips)
    return server_context(cert, key, config.client_ca_file)


def _make(cert: Path, key: Path, name: str, ips: tuple[str, ...]) -> None:
    # Imported here: a node with its own certificate does not pay for the key generator.
    from apimachinery.kit.certs import Authority

    pair = Authority.create(f"{name}-ca").issue(name, dns=(name,), ips=ips, server=True)
    cert.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(key, pair.key_pem, 0o600)
    write_atomic(cert, pair.cert_pem, 0o644)
