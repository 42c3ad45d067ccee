"""What a server speaks after it was told which versions and cipher suites: seen in handshakes."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority
from apimachinery.kit.tls_choice import SUITES, TLSChoice

GCM, CBC = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    pair = Authority.create("ca").issue("server", dns=("localhost",), server=True)
    (folder / "crt").write_bytes(pair.cert_pem)
    (folder / "key").write_bytes(pair.key_pem)
    return folder / "crt", folder / "key"


def spoken(server: tuple[Path, Path], choice: TLSChoice, newest: ssl.TLSVersion) -> tuple[str, str] | None:
    """Version and cipher that a client gets who knows nothing newer; None when they do not agree."""
    context = tls.server_context(*server)
    choice.apply(context)
    client_side = tls.unverified_client_context()
    client_side.maximum_version = newest
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server)
    answering = context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client, answering):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return None
        if len(done) == 2:
            cipher = client.cipher()
            assert cipher is not None
            return client.version() or "", cipher[0]
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize(
    ("choice", "older"),
    [
        (TLSChoice("VersionTLS12", (GCM,)), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")),
        (TLSChoice("", (CBC, "TLS_AES_128_GCM_SHA256")), ("TLSv1.2", "ECDHE-ECDSA-AES128-SHA")),
        (TLSChoice("VersionTLS13"), None),
        (TLSChoice("", ("TLS_AES_128_GCM_SHA256",)), None),
        (TLSChoice("VersionTLS12", ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",)), None),  # not of this certificate
    ],
)
def test_an_old_client_gets_what_was_chosen(
    server: tuple[Path, Path], choice: TLSChoice, older: tuple[str, str] | None
) -> None:
    assert not list(choice.problems())
    assert spoken(server, choice, ssl.TLSVersion.TLSv1_2) == older
    newest = spoken(server, choice, ssl.TLSVersion.TLSv1_3)
    assert newest is not None and newest[0] == "TLSv1.3"


def test_every_suite_is_known_to_openssl(server: tuple[Path, Path]) -> None:
    for name in SUITES:
        TLSChoice("", (name,)).apply(tls.server_context(*server))


def test_all_that_is_wrong_is_told() -> None:
    found = list(TLSChoice("TLS1.3", ("TLS_RSA_WITH_RC4_128_SHA", GCM)).problems())
    assert found == [
        ("--tls-min-version", 'unknown tls version "TLS1.3"'),
        ("--tls-cipher-suites", "Cipher suite TLS_RSA_WITH_RC4_128_SHA not supported or doesn't exist"),
    ]
