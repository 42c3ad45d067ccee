"""CertificateSigningRequests: what is approved, issued, refused and deleted."""

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.kit.certs import Authority
from apimachinery.kit.clock import SystemClock
from controlplane.controllers.certificates import request as requests
from controlplane.controllers.certificates.approver import recognized
from controlplane.controllers.certificates.cleaner import why_delete
from controlplane.controllers.certificates.signer import CertificateSigner, SigningAuthority
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.context import Context

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
NODE_USAGES = ["digital signature", "client auth"]


def pkcs10(cn="system:node:n1", orgs=("system:nodes",), sans=()):
    names = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org) for org in orgs]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(sans)), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def csr(signer=requests.KUBELET_CLIENT, usages=NODE_USAGES, username="system:bootstrap:abcdef", **asked):
    pem = pkcs10(**asked).public_bytes(serialization.Encoding.PEM)
    spec = {"signerName": signer, "usages": list(usages), "username": username}
    return {
        "metadata": {"name": "c", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {**spec, "request": base64.b64encode(pem).decode()},
    }


DNS = x509.DNSName("n1")


@pytest.mark.parametrize(
    ("signer", "usages", "asked", "why"),
    [
        (requests.KUBELET_CLIENT, NODE_USAGES, {}, None),
        (requests.KUBELET_CLIENT, [*NODE_USAGES, "key encipherment"], {}, None),
        (requests.KUBELET_CLIENT, ["client auth"], {}, "did not match [client auth digital signature key enciph"),
        (requests.KUBELET_CLIENT, NODE_USAGES, {"orgs": ["x"]}, "subject organization is not system:nodes"),
        (requests.KUBELET_CLIENT, NODE_USAGES, {"cn": "bob"}, "subject common name does not begin with system:node:"),
        (requests.KUBELET_CLIENT, NODE_USAGES, {"sans": [DNS]}, "DNS subjectAltNames are not allowed"),
        (requests.KUBELET_SERVING, ["digital signature", "server auth"], {"sans": [DNS]}, None),
        (requests.KUBELET_SERVING, ["digital signature", "server auth"], {}, "DNS or IP subjectAltName is required"),
        (requests.KUBELET_CLIENT, NODE_USAGES, {"cn": "bob", "sans": [DNS]}, "DNS subjectAltNames are not allowed"),
        (requests.KUBELET_CLIENT, [], {"cn": "bob"}, "subject common name does not begin with system:node:"),
        (requests.KUBELET_SERVING, [], {"cn": "bob", "sans": [DNS]}, "usages did not match ["),
        (requests.CLIENT, ["client auth"], {"cn": "bob", "orgs": ()}, None),
        (requests.CLIENT, ["digital signature"], {}, "missing required usage for client certificate: client auth"),
        (requests.CLIENT, ["client auth", "server auth"], {}, "invalid usage for client certificate: server auth"),
        (requests.LEGACY, ["code signing"], {"cn": "x"}, None),
    ],
)
def test_what_a_signer_issues(signer, usages, asked, why):
    if why is None:
        requests.check(signer, pkcs10(**asked), usages)
        return
    with pytest.raises(requests.RefusedRequest) as refused:
        requests.check(signer, pkcs10(**asked), usages)
    assert why in str(refused.value)


def test_who_may_be_approved():
    def kinds(**more):
        made = csr(**more)
        return [kind for kind, _ in recognized(made, requests.parse(made))]

    assert kinds() == ["nodeclient"]
    assert kinds(username="system:node:n1") == ["selfnodeclient", "nodeclient"]
    assert kinds(signer=requests.CLIENT) == [] and kinds(orgs=("x",)) == []


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 86400 * 365), (60, 600), (3600, 3600), (86400 * 3650, 86400 * 365)]
)
def test_an_issued_certificate(tmp_path, asked, seconds):
    pair = Authority.create("kubernetes").pair
    (tmp_path / "ca.crt").write_bytes(pair.cert_pem)
    (tmp_path / "ca.key").write_bytes(pair.key_pem)
    authority = SigningAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", 86400 * 365)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    cert = x509.load_pem_x509_certificate(authority.issue(pkcs10(sans=[DNS]), NODE_USAGES, asked, now))
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate(pair.cert_pem))
    assert cert.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes" and cert.public_key() == KEY.public_key()
    life = (cert.not_valid_after_utc - cert.not_valid_before_utc).total_seconds()
    assert life == seconds + (0 if seconds < 8 * 3600 else 300)
    purposes = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_encipherment and not usage.key_cert_sign
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [DNS]


def test_what_is_not_checked_is_not_certified(tmp_path):
    pair = Authority.create("kubernetes").pair
    (tmp_path / "ca.crt").write_bytes(pair.cert_pem)
    (tmp_path / "ca.key").write_bytes(pair.key_pem)
    authority = SigningAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", 3600)

    def issued(subject, sans):
        names = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
        builder = x509.CertificateSigningRequestBuilder().subject_name(names)
        asked = builder.add_extension(x509.SubjectAlternativeName(sans), critical=True).sign(KEY, hashes.SHA256())
        now = datetime.datetime.now(datetime.UTC)
        return asked, x509.load_pem_x509_certificate(authority.issue(asked, NODE_USAGES, None, now))

    other = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")]))
    subject = [(NameOID.COMMON_NAME, "a"), (NameOID.DOMAIN_COMPONENT, "d"), (NameOID.COMMON_NAME, "b")]
    asked, cert = issued([*subject, (NameOID.ORGANIZATION_NAME, "y"), (NameOID.ORGANIZATION_NAME, "x")], [other, DNS])
    assert requests.common_name(asked) == "b"
    assert cert.subject.rdns[1:] == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "b")]).rdns
    assert {each.value for each in cert.subject.rdns[0]} == {"x", "y"} and len(cert.subject.rdns) == 2
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [DNS] and not names.critical
    _, cert = issued(subject[:1], [other])
    with pytest.raises(x509.ExtensionNotFound):
        cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    _, cert = issued([], [DNS])
    assert cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize(
    ("conditions", "issued", "age", "deleted"),
    [
        ([], False, 23, False),
        ([], False, 25, True),
        (["Approved"], True, 2, True),
        (["Approved"], True, 0, False),
        (["Approved"], False, 2, False),
        (["Denied"], False, 2, True),
        (["Approved", "Failed"], False, 2, True),
    ],
)
def test_what_is_cleaned_up(conditions, issued, age, deleted):
    made = csr()
    stamp = "2026-01-01T00:00:00Z"
    made["status"] = {"conditions": [{"type": kind, "status": "True", "lastUpdateTime": stamp} for kind in conditions]}
    if issued:
        pem = Authority.create("x").pair.cert_pem
        made["status"]["certificate"] = base64.b64encode(pem).decode()
    assert (why_delete(made, NOW + datetime.timedelta(hours=age, seconds=1)) is not None) is deleted


def test_each_signer_has_its_authority(tmp_path):
    config = ClientConfig("http://127.0.0.1:1")
    authorities = {}
    for signer, name in ((requests.KUBELET_CLIENT, "clients"), (requests.KUBELET_SERVING, "servers")):
        pair = Authority.create(name).pair
        authorities[signer] = (tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        authorities[signer][0].write_bytes(pair.cert_pem)
        authorities[signer][1].write_bytes(pair.key_pem)
    context = Context(Client(config, "test"), ControllersConfig(config, signing=authorities), SystemClock())
    controller = CertificateSigner(context)
    issued = controller.answered({**csr(sans=()), "status": {}})["status"]["certificate"]
    issuer = x509.load_pem_x509_certificate(base64.b64decode(issued)).issuer
    assert issuer.rfc4514_string() == "CN=clients"
    assert [each for each in requests.SIGNERS if controller.signs_for(each)] == [
        requests.KUBELET_SERVING, requests.KUBELET_CLIENT,
    ]  # fmt: skip
