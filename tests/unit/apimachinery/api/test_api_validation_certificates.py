"""Certificate signing requests, their status and approval: what they are refused for."""

from base64 import b64encode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.api.validation import (
    validate_approval,
    validate_create,
    validate_status_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

CSR = resource("certificates.k8s.io/v1", "CertificateSigningRequest")


def _request():
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def test_signing_requests():
    spec = {"request": _request(), "usages": ["client auth"], "signerName": "example.com/x"}
    old = made(CSR, spec=spec)
    assert validate_create(CSR, old) == []
    bad = {"request": "YQ==", "usages": ["fun", "fun"], "signerName": "plain", "expirationSeconds": 1}
    found = texts(validate_create(CSR, made(CSR, spec=bad)))
    assert found[0] == "spec.request: Invalid value: []byte{0x61}: PEM block type must be CERTIFICATE REQUEST"
    assert found[1].startswith('spec.usages[0]: Unsupported value: "fun": supported values: "any", "cert sign"')
    assert found[3:] == [
        'spec.usages[1]: Duplicate value: "fun"',
        'spec.signerName: Invalid value: "plain": must be a fully qualified domain and path of the form '
        "'example.com/signer-name'",
        "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
    ]


def test_a_request_is_approved_by_its_subresource_only():
    spec = {"request": _request(), "usages": ["client auth"], "signerName": "example.com/x"}
    old = made(CSR, spec=spec)
    approved = {**old, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    assert validate_approval(approved, old) == []
    assert texts(validate_status_update(CSR, approved, old)) == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]
    assert texts(validate_approval(old, approved)) == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]
    both = {**old, "status": {"conditions": [{"type": kind, "status": "True"} for kind in ("Approved", "Denied")]}}
    assert texts(validate_approval(both, old)) == [
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]
    issued = {**old, "status": {"certificate": b64encode(b"nothing").decode()}}
    assert texts(validate_approval(issued, old)) == [
        'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block',
        "status.certificate: Forbidden: updates may not set certificate content",
    ]
