"""Files of certificates and keys, and what is wrong with one that TLS cannot use: as Go says it, with the file's name.

OpenSSL names no file and says "PEM lib"; people break these files on purpose to learn what that looks like.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path


class TLSFileError(ssl.SSLError):
    """A file that TLS cannot use. Its text is for people."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self._what = what

    def __str__(self) -> str:
        return self._what


def load_pair(context: ssl.SSLContext, cert: Path | str, key: Path | str | None) -> None:
    """Show this certificate. Raises TLSFileError (tls.LoadX509KeyPair)."""
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ValueError) as error:
        pair = f"certificate {cert}" + (f" with key {key}" if key is not None else "")
        raise TLSFileError(f"unable to load {pair}: {_pair_problem(error, cert, key or cert)}") from error


def replace_pair(context: ssl.SSLContext, cert: Path | str, key: Path | str) -> None:
    """Show this certificate from the next handshake on; another stays when it cannot be used. Raises TLSFileError."""
    # Tried apart first: half of a pair, met while it is written, must not end in the context.
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert, key)
    load_pair(context, cert, key)


def load_authorities(context: ssl.SSLContext, file: Path | str) -> None:
    """Trust the authorities of clients in this file. Raises TLSFileError (cert.NewPool)."""
    try:
        context.load_verify_locations(cadata=_text(file))
    except TLSFileError as error:
        raise TLSFileError(f"unable to load client CA file {file}: {error}") from error
    except (OSError, ValueError) as error:
        what = "data does not contain any valid RSA or ECDSA certificates"
        raise TLSFileError(f"unable to load client CA file {file}: error creating pool from {file}: {what}") from error


def _text(file: Path | str) -> str:
    try:
        return Path(file).read_text(errors="replace")
    except OSError as error:
        raise TLSFileError(f"open {file}: {(error.strerror or str(error)).lower()}") from error


def _pair_problem(error: Exception, cert: Path | str, key: Path | str) -> str:
    for file, what, mark in ((cert, "certificate", "-----BEGIN CERT"), (key, "key", "PRIVATE KEY-----")):
        try:
            if mark not in _text(file):
                return f"tls: failed to find any PEM data in {what} input"
        except TLSFileError as absent:
            return str(absent)
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "tls: private key does not match public key"
    with suppress(AttributeError):
        return f"tls: {str(error.reason).lower().replace('_', ' ')}"  # type: ignore[attr-defined]
    return str(error)
