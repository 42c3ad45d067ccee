"""Client certificates that do not hold: the handshake goes on, and the request is answered with 401.

Upstream asks for a client certificate without verifying it in TLS (tls.RequestClientCert), so that kubectl with an
expired or foreign certificate reads "You must be logged in to the server". Python's ssl can only ask and verify
(CERT_OPTIONAL) or not ask at all; what is missing is OpenSSL's verification callback. It is set here through ctypes;
OpenSSL still verifies, and its result is read for each connection. Where the interpreter is not one whose objects are
known to be laid out as expected, the handshake refuses such certificates as Python would have it.
"""

from __future__ import annotations

import _ssl
import ctypes
import logging
import ssl
import sys

log = logging.getLogger(__name__)

_VERIFY_PEER = 1
_OK = 0  # X509_V_OK
_HEAD = object.__basicsize__
_POINTER = ctypes.sizeof(ctypes.c_void_p)

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_go_on = _Callback(lambda ok, store: 1)  # kept for ever: OpenSSL holds its address


def accept_unverified(context: ssl.SSLContext) -> bool:
    """Let clients finish the handshake whatever certificate they show. context: with CERT_OPTIONAL.

    From now on a certificate that is shown proves nothing unless `is_verified` says so. False: nothing was changed.
    """
    library = _library()
    if library is None or context.verify_mode is not ssl.CERT_OPTIONAL:
        return False
    # PySSLContext begins with the SSL_CTX pointer (CPython 3.8 to 3.13).
    handle = ctypes.c_void_p.from_address(id(context) + _HEAD)
    if library.SSL_CTX_get_verify_mode(handle) != _VERIFY_PEER:
        return False
    library.SSL_CTX_set_verify(handle, _VERIFY_PEER, _go_on)
    return True


def is_verified(session: ssl.SSLObject) -> bool:
    """Whether the chain of the certificate that the client showed ends at an authority of the context."""
    library = _library()
    if library is None:
        return True  # the handshake would not have ended otherwise
    # PySSLSocket begins with a reference to its owner, then the SSL pointer (CPython 3.8 to 3.13).
    inner = session._sslobj  # type: ignore[attr-defined]
    handle = ctypes.c_void_p.from_address(id(inner) + _HEAD + _POINTER)
    return bool(library.SSL_get_verify_result(handle) == _OK)


def _load() -> ctypes.CDLL | None:
    if sys.implementation.name != "cpython" or not (3, 8) <= sys.version_info[:2] <= (3, 13):
        return None
    try:
        library = ctypes.CDLL(_ssl.__file__)
        library.SSL_CTX_get_verify_mode.argtypes = [ctypes.c_void_p]
        library.SSL_CTX_set_verify.argtypes = [ctypes.c_void_p, ctypes.c_int, _Callback]
        library.SSL_CTX_set_verify.restype = None
        library.SSL_get_verify_result.argtypes = [ctypes.c_void_p]
        library.SSL_get_verify_result.restype = ctypes.c_long
    except (AttributeError, OSError) as error:  # a statically linked OpenSSL shows no symbols
        log.info("client certificates of foreign authorities are refused in the handshake: %s", error)
        return None
    return library


_LIBRARY = _load()


def _library() -> ctypes.CDLL | None:
    return _LIBRARY
