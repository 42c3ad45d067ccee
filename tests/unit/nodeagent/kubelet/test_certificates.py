"""The node's certificates: when they are renewed, where they lie, what is asked for."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.kit.certs import Authority
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tls_choice import SUITES
from nodeagent.kubelet.certificates import bootstrap, request, signing
from nodeagent.kubelet.certificates.manager import CertificateManager
from nodeagent.kubelet.certificates.store import CertificateStore, Pair, split
from nodeagent.kubelet.certificates.validity import Validity, validity
from nodeagent.kubelet.config import Config
from nodeagent.kubelet.server.certificate import Serving
from nodeagent.kubelet.wire_identity import client_rotation

NOW = datetime.datetime(2026, 11, 21, 9, 6, 17, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("ca")


def pair(authority: Authority, days: int = 365) -> Pair:
    made = authority.issue("system:node:n", orgs=("system:nodes",), client=True, days=days)
    return Pair(made.cert_pem, made.key_pem)


@pytest.mark.parametrize("days", [1, 365, 30000])
def test_the_validity_is_what_the_library_says(authority: Authority, days: int) -> None:
    pem = pair(authority, days).cert
    theirs = x509.load_pem_x509_certificate(pem)
    assert validity(pem) == Validity(theirs.not_valid_before_utc, theirs.not_valid_after_utc)


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_no_certificate(authority: Authority, length: int) -> None:
    der = base64.b64decode(b"".join(pair(authority).cert.splitlines()[1:-1]))[:length]
    broken = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(der) + b"\n-----END CERTIFICATE-----\n"
    for pem in (broken, b"", b"-----BEGIN CERTIFICATE-----"):
        with pytest.raises(ValueError, match="certificate"):
            validity(pem)


def test_the_store_is_upstreams(authority: Authority, tmp_path: Path) -> None:
    store = CertificateStore(tmp_path / "pki", "kubelet-client")
    assert store.current() is None
    first, second = pair(authority), pair(authority)
    store.update(first, NOW)
    file = store.update(second, NOW + datetime.timedelta(hours=1))
    assert sorted(path.name for path in (tmp_path / "pki").iterdir()) == [
        "kubelet-client-2026-11-21-09-06-17.pem",
        "kubelet-client-2026-11-21-10-06-17.pem",
        "kubelet-client-current.pem",
    ]
    assert store.current_path.readlink() == file and file.stat().st_mode & 0o777 == 0o600
    assert store.current() == second and split(file.read_bytes()) == second
    ssl.create_default_context().load_cert_chain(store.current_path)


def test_what_is_asked_for() -> None:
    key = request.new_key()
    asked = request.serving_request("n", ["n", "n.example"], ["192.0.2.1", "2001:db8::1"])
    csr = x509.load_pem_x509_csr(request.render(asked, key))
    assert csr.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes" and csr.is_signature_valid
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n", "n.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]
    made = request.object_for(asked, b"pem", key)
    assert made["spec"]["usages"] == ["digital signature", "server auth"]
    assert made["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
    assert made["metadata"]["name"] == request.object_for(asked, b"pem again", key)["metadata"]["name"]
    assert made["metadata"]["name"] != request.object_for(asked, b"pem", request.new_key())["metadata"]["name"]


def csr(*conditions: str, certificate: bytes = b"") -> dict[str, Any]:
    listed = [{"type": kind, "reason": "R", "message": "m"} for kind in conditions]
    status = {"conditions": listed, **({"certificate": base64.b64encode(certificate).decode()} if certificate else {})}
    return {"metadata": {"name": "c"}, "status": status}


def test_what_became_of_a_request() -> None:
    assert signing.issued({"metadata": {"name": "c"}}) is None
    assert signing.issued(csr("Approved")) is None and signing.issued(csr(certificate=b"x")) is None
    assert signing.issued(csr("Approved", certificate=b"x")) == b"x"
    with pytest.raises(signing.NotSigned, match='certificate signing request c is denied, reason: "R", message: "m"'):
        signing.issued(csr("Denied"))
    with pytest.raises(signing.NotSigned, match="certificate signing request c failed"):
        signing.issued(csr("Approved", "Failed"))


class FakeCluster:
    """The call that signing makes, approved at once."""

    def __init__(self, authority: Authority) -> None:
        self.authority, self.asked = authority, 0

    async def create(self, _: Any, obj: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        cert = pair(self.authority, 365).cert
        return {**obj, "status": csr("Approved", certificate=cert)["status"]}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
async def test_renewed_between_seventy_and_ninety_per_cent(authority: Authority, tmp_path: Path, share: float) -> None:
    clock, first = ManualClock(datetime.datetime.now(datetime.UTC)), pair(authority, 10)
    store, used = CertificateStore(tmp_path, "kubelet-client"), list[Pair]()
    cluster: Any = FakeCluster(authority)
    wanted = request.client_request("n")

    async def use(new: Pair) -> None:
        used.append(new)

    manager = CertificateManager(cluster, clock, store, lambda: wanted, use, first, lambda: share)
    life = validity(first.cert)
    deadline = manager.deadline()
    assert deadline is not None
    assert (deadline - life.begins) / (life.ends - life.begins) == pytest.approx(0.7 + 0.2 * share)
    stop = asyncio.Event()
    running = asyncio.create_task(manager.run(stop))
    await asyncio.sleep(0)
    left = (deadline - clock.now()).total_seconds()
    await clock.advance(left - 30)
    assert cluster.asked == 0
    await clock.advance(61)
    while not used:
        await asyncio.sleep(0.01)
    assert cluster.asked == 1 and store.current() == used[0] == manager.current
    running.cancel()


def test_the_kubeconfig_that_joining_writes(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap-kubelet.conf"
    cluster = {"server": "https://192.0.2.1:6443", "certificate-authority-data": base64.b64encode(b"ca").decode()}
    file.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": cluster}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
                "users": [{"name": "u", "user": {"token": "abcdef.0123456789abcdef"}}],
            }
        )
    )
    made = yaml.safe_load(bootstrap.render_kubeconfig(file, Path("/pki/kubelet-client-current.pem")))
    assert made["clusters"] == [{"name": "default-cluster", "cluster": cluster}]
    assert made["users"][0]["user"] == {
        "client-certificate": "/pki/kubelet-client-current.pem",
        "client-key": "/pki/kubelet-client-current.pem",
    }
    assert made["current-context"] == "default-context" and "abcdef" not in str(made)


def test_the_newer_identity_counts(authority: Authority, tmp_path: Path) -> None:
    store = CertificateStore(tmp_path, "kubelet-client")
    inline, kept = pair(authority), pair(authority)
    config = ClientConfig("https://x", cert_data=inline.cert, key_data=inline.key)
    assert bootstrap.with_newest(config, store) == config
    store.update(kept, NOW)
    newer = validity(kept.cert).begins > validity(inline.cert).begins
    assert (bootstrap.with_newest(config, store).cert_data == kept.cert) is newer


async def test_an_identity_of_the_kubeconfig_lies_where_the_next_will(authority: Authority, tmp_path: Path) -> None:
    first, second = pair(authority), pair(authority)
    config = Config(node_name="n", rotate_certificates=True, cert_dir=tmp_path)
    for shown in (first, second):
        client = Client(ClientConfig("https://x", cert_data=shown.cert, key_data=shown.key), "kubelet")
        manager = client_rotation(config, client, ManualClock(NOW))
        assert manager is not None and manager.current == shown
        assert split((tmp_path / "kubelet-client-current.pem").read_bytes()) == first, "what is there stays"


def test_an_identity_that_has_ended_is_none(authority: Authority, tmp_path: Path) -> None:
    store = CertificateStore(tmp_path, "kubelet-client")
    store.update(pair(authority, 10), NOW)
    file = tmp_path / "kubelet.conf"
    user = {"client-certificate": str(store.current_path), "client-key": str(store.current_path)}
    file.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://x"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    today = datetime.datetime.now(datetime.UTC)
    assert bootstrap.usable(file, today) is not None
    assert bootstrap.usable(file, today + datetime.timedelta(days=11)) is None
    assert bootstrap.usable(tmp_path / "none", today) is None


def _issuer(server: Serving) -> bytes:
    """Connect in memory; the DER certificate that the server shows."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = CONTEXTS[id(server)].wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = ours.getpeercert(binary_form=True)
    assert shown is not None
    return shown


CONTEXTS: dict[int, ssl.SSLContext] = {}


async def test_the_server_shows_a_new_certificate_at_the_next_handshake(authority: Authority, tmp_path: Path) -> None:
    cert, key = tmp_path / "s.crt", tmp_path / "s.key"

    def write(made: Pair) -> bytes:
        key.write_bytes(made.key)
        cert.write_bytes(made.cert)
        return ssl.PEM_cert_to_DER_cert(made.cert.decode())

    first = write(pair(authority))
    clock = ManualClock(NOW)
    server = Serving(Config(tls_cert_file=cert, tls_key_file=key, cert_dir=tmp_path), (), clock)
    CONTEXTS[id(server)] = server.context()
    assert _issuer(server) == first
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop))
    await asyncio.sleep(0)
    cert.write_bytes(pair(authority).cert)  # half of a pair: the old one stays
    await clock.advance(11)
    await asyncio.sleep(0)
    assert _issuer(server) == first
    second = write(pair(authority))
    await clock.advance(11)
    await asyncio.sleep(0)
    assert _issuer(server) == second != first
    running.cancel()


async def test_until_it_is_approved_no_handshake_succeeds(authority: Authority, tmp_path: Path) -> None:
    server = Serving(Config(server_tls_bootstrap=True, cert_dir=tmp_path), (), ManualClock(NOW))
    CONTEXTS[id(server)] = server.context()
    with pytest.raises(ssl.SSLError):
        _issuer(server)
    made = pair(authority)
    server.store.update(made, NOW)
    await server.use(made)
    assert _issuer(server) == ssl.PEM_cert_to_DER_cert(made.cert.decode())


def test_only_the_configured_ciphers(authority: Authority, tmp_path: Path) -> None:
    made = pair(authority)
    (tmp_path / "s.crt").write_bytes(made.cert)
    (tmp_path / "s.key").write_bytes(made.key)
    files: dict[str, Any] = {
        "tls_cert_file": tmp_path / "s.crt",
        "tls_key_file": tmp_path / "s.key",
        "cert_dir": tmp_path,
    }
    one = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    config = Config(tls_cipher_suites=(one,), tls_min_version="VersionTLS12", **files)
    context = Serving(config, (), ManualClock()).context()
    older = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert older == ["ECDHE-ECDSA-AES256-GCM-SHA384"] and context.minimum_version == ssl.TLSVersion.TLSv1_2
    for name in SUITES:
        Serving(Config(tls_cipher_suites=(name,), **files), (), ManualClock()).context()
    newest = Serving(Config(tls_min_version="VersionTLS13", **files), (), ManualClock()).context()
    assert newest.minimum_version == ssl.TLSVersion.TLSv1_3
