"""A server that was told which TLS it may speak, as hardening guides have it."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from apimachinery.kit.certs import Authority
from tests.integration.apiservers import ApiServer
from tests.integration.process import wait_until


def spoken(server: ApiServer, newest: ssl.TLSVersion) -> tuple[str, str]:
    """Version and cipher suite that a client gets who knows nothing newer. Raises ssl.SSLError, ConnectionError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
        context.wrap_socket(plain) as connection,
    ):
        cipher = connection.cipher()
        assert cipher is not None
        return connection.version() or "", cipher[0]


def shown(server: ApiServer) -> bytes:
    """The certificate that a client sees."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
        context.wrap_socket(plain) as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def test_tls_1_3_alone(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", "sqlite", "--tls-min-version=VersionTLS13")
    server.start()
    assert spoken(server, ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        spoken(server, ssl.TLSVersion.TLSv1_2)
    assert "kube-system" in server.kubectl("get", "namespaces").stdout
    assert server.stop() == 0, server.log


def test_one_suite_of_tls_1_2(tmp_path: Path) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    server = ApiServer(tmp_path / "data", "sqlite", "--tls-min-version=VersionTLS12", f"--tls-cipher-suites={suite}")
    server.start()
    version, name = spoken(server, ssl.TLSVersion.TLSv1_2)
    assert version == "TLSv1.2" and name in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384")
    assert "kube-system" in server.kubectl("get", "namespaces").stdout
    assert server.stop() == 0, server.log


def test_what_nobody_speaks_is_told_with_all_else(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", "sqlite", "--tls-min-version=TLS1.3", "--tls-cipher-suites=RC4")
    server.launch()
    assert server.wait(60) != 0
    for words in ('unknown tls version "TLS1.3"', "Cipher suite RC4 not supported or doesn't exist"):
        assert words in server.log
    assert "Traceback" not in server.log


def test_a_certificate_that_is_written_anew_is_shown_without_a_restart(tmp_path: Path) -> None:
    server, pki = ApiServer(tmp_path / "data", "sqlite"), tmp_path / "data" / "pki"
    server.start()
    before = shown(server)
    other = Authority.create("other").issue("kube-apiserver", ips=("127.0.0.1",), server=True)
    (pki / "apiserver.crt").write_bytes(other.cert_pem)
    wait_until("half of a pair is told", lambda: "tls: private key does not match public key" in server.log)
    assert shown(server) == before
    (pki / "apiserver.key").write_bytes(other.key_pem)
    wanted = ssl.PEM_cert_to_DER_cert(other.cert_pem.decode())
    wait_until("the other one is shown", lambda: shown(server) == wanted)
    assert server.stop() == 0, server.log


def _code(server: ApiServer, client: ssl.SSLContext) -> int:
    """What a new connection with the client's certificate is answered."""
    connection = HTTPSConnection("127.0.0.1", server.port, timeout=60, context=client)
    try:
        connection.request("GET", "/api/v1/namespaces")
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_authority_of_clients_that_is_added_is_believed_without_a_restart(tmp_path: Path) -> None:
    server, pki = ApiServer(tmp_path / "data", "sqlite"), tmp_path / "data" / "pki"
    server.start()
    coming = Authority.create("kubernetes-2")
    pair = coming.issue("admin", orgs=["system:masters"], client=True)
    for name, content in (("new.crt", pair.cert_pem), ("new.key", pair.key_pem)):
        (tmp_path / name).write_bytes(content)
    client = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    client.load_cert_chain(tmp_path / "new.crt", tmp_path / "new.key")
    assert _code(server, client) == 401
    present = (pki / "ca.crt").read_bytes()
    (pki / "ca.crt").write_bytes(b"")
    wait_until("an empty file is told", lambda: "the authorities of clients stay what they were" in server.log)
    assert "kube-system" in server.kubectl("get", "namespaces").stdout
    (pki / "ca.crt").write_bytes(present + coming.pair.cert_pem)
    wait_until("the new one is believed", lambda: _code(server, client) == 200)
    assert "kube-system" in server.kubectl("get", "namespaces").stdout, "and the old one still"
    assert server.stop() == 0, server.log
