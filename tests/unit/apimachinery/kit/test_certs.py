import asyncio
import ssl
from pathlib import Path

import pytest

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority


def _write(directory: Path, name: str, pair) -> tuple[Path, Path]:
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    cert.write_bytes(pair.cert_pem)
    key.write_bytes(pair.key_pem)
    return cert, key


async def _talk(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict:
    seen = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.update(writer.get_extra_info("peercert") or {})
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        assert await reader.read() == b"hello"
        writer.close()
    return seen


async def test_issued_certificates_serve_and_identify(tmp_path: Path) -> None:
    authority = Authority.create("test-ca")
    server = _write(tmp_path, "server", authority.issue("s", dns=["lab.test"], ips=["127.0.0.1"], server=True))
    user = _write(tmp_path, "user", authority.issue("alice", orgs=["dev", "ops"], client=True))
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.pair.cert_pem)
    seen = await _talk(
        tls.server_context(*server, ca, require=True), tls.client_context(authority.pair.cert_pem, *user), "lab.test"
    )
    subject = [pair for part in seen["subject"] for pair in part]
    assert subject == [("organizationName", "dev"), ("organizationName", "ops"), ("commonName", "alice")]


async def test_a_name_that_was_not_issued_is_refused(tmp_path: Path) -> None:
    authority = Authority.create("test-ca")
    server = _write(tmp_path, "server", authority.issue("s", dns=["lab.test"], server=True))
    with pytest.raises(ssl.SSLCertVerificationError):
        await _talk(tls.server_context(*server), tls.client_context(authority.pair.cert_pem), "other.test")


async def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    server = _write(tmp_path, "server", Authority.create("one").issue("s", dns=["lab.test"], server=True))
    with pytest.raises(ssl.SSLCertVerificationError):
        await _talk(tls.server_context(*server), tls.client_context(Authority.create("two").pair.cert_pem), "lab.test")


def test_an_authority_survives_its_files(tmp_path: Path) -> None:
    cert, key = _write(tmp_path, "ca", Authority.create("test-ca").pair)
    assert Authority.load(cert, key).pair.cert_pem == cert.read_bytes()


def test_a_certificate_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither for a server nor for a client"):
        Authority.create("ca").issue("x")
