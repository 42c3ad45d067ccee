"""What PEM says: requests that are signed, certificates and nothing else (pkg/apis/certificates, Go's encoding/pem)."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator

from apimachinery.kit.refusals import bad_signature

_EDGE = re.compile(rb"-----(BEGIN|END) (.*?)-----[ \t\r]*")


def request_error(text: str) -> str:
    """What is wrong with a request for a certificate (base64 of PEM), or ""."""
    kind, _, data = next(_blocks(b64decode(text)), ("", False, b""))
    if kind != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    # 20 ms, for what few servers ever see
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        request = x509.load_der_x509_csr(data)
        return "" if request.is_signature_valid else bad_signature(request.public_key())
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        return str(error)


def certificate_error(text: str) -> str:
    """What is wrong with certificates (base64 of PEM), or ""; nothing is wrong with nothing."""
    pem = b64decode(text)
    if not pem:
        return ""
    from cryptography import x509

    found = False
    for kind, headers, data in _blocks(pem):
        found = True
        if kind != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind}"'
        if headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(data)
        except ValueError as error:
            return str(error)
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def authorities_error(text: str) -> str:
    """Why no authority can be read from base64 of PEM (client-go's rootCertPool), or "": one is enough, and nothing is
    wrong with nothing."""
    pem = b64decode(text)
    blocks = list(_blocks(pem))
    certificates = [data for kind, headers, data in blocks if kind == "CERTIFICATE" and not headers]
    if not pem or any(_is_certificate(data) for data in certificates):
        return ""
    why = "no valid certificate authority data seen" if blocks else "unable to parse bytes as PEM block"
    if certificates:
        why = "failed to parse certificate: x509: malformed certificate"
    return f"unable to load root certificates: {why}"


def _is_certificate(data: bytes) -> bool:
    from cryptography import x509

    try:
        x509.load_der_x509_certificate(data)
    except ValueError:
        return False
    return True


def _blocks(pem: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """The kind of each block, whether it has headers, and what is in it. What is no block is passed over."""
    kind: bytes | None = None
    body: list[bytes] = []
    for line in pem.split(b"\n"):
        edge = _EDGE.fullmatch(line)
        if edge is None:
            body.append(line)
            continue
        if kind is not None and edge[1] == b"END" and edge[2] == kind:
            lines = [each for each in body if b":" not in each]
            try:
                yield (
                    kind.decode(errors="replace"),
                    len(lines) < len(body),
                    b64decode(b"".join(b"".join(lines).split()), validate=True),
                )
            except Error:
                pass
        kind, body = edge[2] if edge[1] == b"BEGIN" else None, []
