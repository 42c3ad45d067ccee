"""TLS contexts: TLS 1.2 and newer, nothing trusted but the authority that is named."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_context(
    cert: Path | str, key: Path | str, client_ca: Path | str | None = None, *, require: bool = False
) -> ssl.SSLContext:
    """A server's context.

    client_ca: authority of client certificates; without it none is asked for.
    require: refuse the handshake of a client that shows no certificate (otherwise it is merely asked).
    Raises OSError or ssl.SSLError, with the file's name, for what cannot be read or does not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise type(error)(f"certificate {cert} with key {key}: {error}") from error
    if client_ca is not None:
        context.load_verify_locations(cafile=str(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_OPTIONAL
    return context


def client_context(
    ca_data: bytes | str | None = None, cert: Path | str | None = None, key: Path | str | None = None
) -> ssl.SSLContext:
    """A client's context that trusts `ca_data` (PEM) alone, or the machine's authorities when it is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_data is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=ca_data.decode() if isinstance(ca_data, bytes) else ca_data)
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def unverified_client_context(cert: Path | str | None = None, key: Path | str | None = None) -> ssl.SSLContext:
    """A client's context that shows `cert` and believes whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context
