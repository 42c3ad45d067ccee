# ruff: noqa: E501
# A table of sentences reads better whole.
"""Certificate signing requests, their status and approval: what they are refused for."""

from base64 import b64decode, b64encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from apimachinery.api.validation import (
    validate_approval,
    validate_create,
    validate_status_update,
    validate_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

CSR = resource("certificates.k8s.io/v1", "CertificateSigningRequest")


def _request():
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


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


def _pem(kind, data=b"x", headers=""):
    return b64encode(
        f"-----BEGIN {kind}-----\n{headers}{b64encode(data).decode()}\n-----END {kind}-----\n".encode()
    ).decode()


def _unsigned(key, digest=None):
    """A request whose signature is another request's."""
    one, other = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .sign(key, digest)
        .public_bytes(serialization.Encoding.DER)
        for name in "uv"
    )
    return _pem("CERTIFICATE REQUEST", one.replace(b"\x0c\x01u", b"\x0c\x01v")) if len(one) == len(other) else ""


def _asked(**fields):
    return {"request": _request(), "usages": ["client auth"], "signerName": "example.com/x", **fields}


@pytest.mark.parametrize(
    ("key", "digest", "expected"),
    [
        (ed25519.Ed25519PrivateKey.generate(), None, "x509: Ed25519 verification failure"),
        (rsa.generate_private_key(65537, 2048), hashes.SHA256(), "crypto/rsa: verification error"),
    ],
    ids=["ed25519", "rsa"],
)
def test_requests_that_their_key_did_not_sign(key, digest, expected):
    [text] = texts(validate_create(CSR, made(CSR, spec=_asked(request=_unsigned(key, digest)))))
    assert text.startswith("spec.request: Invalid value: []byte{0x2d, 0x2d, ") and text.endswith(f"}}: {expected}")


def test_a_request_is_the_first_block():
    two = b64encode(b64decode(_pem("CERTIFICATE")) + b64decode(_request())).decode()
    [text] = texts(validate_create(CSR, made(CSR, spec=_asked(request=two))))
    assert text.endswith("}: PEM block type must be CERTIFICATE REQUEST")
    prefixed = b64encode(b"Words before it.\n" + b64decode(_request())).decode()
    assert validate_create(CSR, made(CSR, spec=_asked(request=prefixed))) == []


_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"usages": []}, ["spec.usages: Required value: usages must be provided"]),
        ({"signerName": ""}, ["spec.signerName: Required value"]),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            [
                'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via '
                "this API version"
            ],
        ),
        (
            {"signerName": "plain/x"},
            [
                'spec.signerName: Invalid value: "plain": should be a domain with at least two segments separated by dots'
            ],
        ),
        (
            {"signerName": "A.B/x"},
            [f'spec.signerName: Invalid value: "A.B": validating label "A": {_LABEL}'],
        ),
        ({"expirationSeconds": 600}, []),
    ],
    ids=str,
)
def test_the_details_of_requests(fields, expected):
    assert texts(validate_create(CSR, made(CSR, spec=_asked(**fields)))) == expected


def _conditions(*found):
    return {"status": {"conditions": [dict(zip(("type", "status"), each, strict=False)) for each in found]}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("Approved", "True"), ("Custom", "False")], []),
        ([("", "True")], ["status.conditions[0].type: Required value"]),
        ([("Custom", "")], ["status.conditions[0].status: Required value"]),
        (
            [("Custom", "Maybe")],
            ['status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"'],
        ),
        ([("Denied", "False")], ['status.conditions[0].status: Unsupported value: "False": supported values: "True"']),
        (
            [("Denied", "True"), ("Approved", "True"), ("Approved", "True")],
            [
                'status.conditions[1].type: Invalid value: "Approved": Approved and Denied conditions are mutually exclusive',
                'status.conditions[2].type: Invalid value: "Approved": Approved and Denied conditions are mutually exclusive',
                'status.conditions[2].type: Duplicate value: "Approved"',
            ],
        ),
    ],
    ids=str,
)
def test_conditions_of_an_approval(found, expected):
    old = made(CSR, spec=_asked())
    assert texts(validate_approval({**old, **_conditions(*found)}, old)) == expected


def test_what_was_wrong_may_stay_wrong():
    wrong = _conditions(("Denied", "True"), ("Approved", "True"), ("Approved", "True"), ("", "True"))
    spec = _asked(usages=["fun", "fun"], signerName="kubernetes.io/legacy-unknown")
    old = made(CSR, spec=spec, **wrong)
    assert validate_update(CSR, made(CSR, metadata={"labels": {"a": "b"}}, spec=spec, **wrong), old) == []
    assert len(validate_create(CSR, old)) == 8


def test_an_approval_is_not_changed_beside_its_subresource():
    old = {**made(CSR, spec=_asked()), **_conditions(("Approved", "True"))}
    new = {**old, "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Because"}]}}
    assert texts(validate_status_update(CSR, new, old)) == [
        'status.conditions: Forbidden: updates may not modify a condition of type "Approved"\n'
        '- \t[0].reason: nil\n+ \t[0].reason: "Because"'
    ]
    assert validate_approval(new, old) == []


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        (_pem("RSA PRIVATE KEY"), 'only CERTIFICATE PEM blocks are allowed, found "RSA PRIVATE KEY"'),
        (_pem("CERTIFICATE", headers="Proc-Type: 4,ENCRYPTED\n\n"), "no PEM block headers are permitted"),
        (
            b64encode(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").decode(),
            "must contain at least one CERTIFICATE PEM block",
        ),
    ],
    ids=["key", "headers", "no base64"],
)
def test_certificates_are_certificates(certificate, expected):
    old = made(CSR, spec=_asked())
    issued = {**old, "status": {"certificate": certificate}}
    assert texts(validate_status_update(CSR, issued, old)) == [
        f'status.certificate: Invalid value: "<certificate data>": {expected}'
    ]
    assert validate_status_update(CSR, issued, issued) == [], "it is there already"
    other = {**old, "status": {"certificate": ""}}
    assert texts(validate_status_update(CSR, other, issued)) == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]
