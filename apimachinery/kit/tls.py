"""TLS contexts: TLS 1.2 and newer, nothing trusted but the authority that is named."""

from __future__ import annotations

import ssl
from pathlib import Path

from apimachinery.kit.refusals import Checked
from apimachinery.kit.tls_files import TLSFileError, load_authorities, load_pair


def server_context(
    cert: Path | str, key: Path | str, client_ca: Path | str | None = None, *, require: bool = False
) -> ssl.SSLContext:
    """A server's context.

    client_ca: authority of client certificates; without it none is asked for.
    require: refuse the handshake of a client that shows no certificate (otherwise it is merely asked).
    Raises TLSFileError for what cannot be read or does not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_pair(context, cert, key)
    if client_ca is not None:
        load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_OPTIONAL
    return context


def client_context(
    ca_data: bytes | str | None = None, cert: Path | str | None = None, key: Path | str | None = None
) -> ssl.SSLContext:
    """A client's context that trusts `ca_data` (PEM) alone, or the machine's authorities when it is None. Raises
    TLSFileError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = Checked
    if ca_data is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=ca_data.decode() if isinstance(ca_data, bytes) else ca_data)
        except (ssl.SSLError, ValueError) as error:
            raise TLSFileError("unable to load root certificates: unable to parse bytes as PEM block") from error
    if cert is not None:
        load_pair(context, cert, key)
    return context


def unverified_client_context(cert: Path | str | None = None, key: Path | str | None = None) -> ssl.SSLContext:
    """A client's context that shows `cert` and believes whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        load_pair(context, cert, key)
    return context
