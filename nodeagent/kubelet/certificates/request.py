"""What is asked for: keys, and requests (PKCS #10) for the node's client and serving certificates."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the API has it. names, ips: subject alternative names; neither for a client."""

    node: str
    signer: str
    usages: tuple[str, ...]
    names: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


def client_request(node: str) -> Request:
    """The kubelet as a client of the API server. An elliptic curve key does not encipher keys."""
    return Request(node, CLIENT_SIGNER, ("digital signature", "client auth"))


def serving_request(node: str, names: Sequence[str], ips: Sequence[str]) -> Request:
    """The kubelet's own server, by the names and addresses that the Node shows."""
    return Request(node, SERVING_SIGNER, ("digital signature", "server auth"), tuple(names), tuple(ips))


def new_key() -> bytes:
    """A fresh P-256 key, PEM."""
    from apimachinery.kit import certs

    return certs.key_pem(certs.new_key())


def render(request: Request, key: bytes) -> bytes:
    """The signed request, PEM: system:node:NAME in system:nodes."""
    # Imported here: a node whose certificates are in order does not pay for it at every start.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"system:node:{request.node}"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    alternatives: list[x509.GeneralName] = [x509.DNSName(each) for each in request.names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(each)) for each in request.ips]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    private = serialization.load_pem_private_key(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("the key of a request must be an elliptic curve key")
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def object_for(request: Request, pem: bytes, key: bytes) -> dict[str, Any]:
    """The CertificateSigningRequest. Its name follows from the key and what is asked, so that asking again after a
    restart finds the same one, approved meanwhile or not."""
    digest = hashlib.sha256(b"\0".join((key, request.signer.encode(), repr(request).encode()))).digest()
    name = "node-csr-" + base64.b32encode(digest[:25]).decode().lower()
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": request.signer,
            "usages": list(request.usages),
        },
    }
