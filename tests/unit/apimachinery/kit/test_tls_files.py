"""What is said of files of certificates that TLS cannot use."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority
from apimachinery.kit.tasks import run_daemon
from apimachinery.kit.tls_files import TLSFileError, load_authorities, load_pair

NO_PEM = "tls: failed to find any PEM data in {} input"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """crt and key fit together, other is another's key, junk is none, ca an authority."""
    authority = Authority.create("lab")
    for name, other in (("crt", "key"), ("ignored", "other")):
        pair = authority.issue(name, dns=(name,), server=True)
        (tmp_path / name).write_bytes(pair.cert_pem)
        (tmp_path / other).write_bytes(pair.key_pem)
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "ca").write_bytes(authority.pair.cert_pem)
    return tmp_path


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("absent", "key", "open {}/absent: no such file or directory"),
        ("crt", "absent", "open {}/absent: no such file or directory"),
        ("junk", "key", NO_PEM.format("certificate")),
        ("key", "key", NO_PEM.format("certificate")),
        ("crt", "junk", NO_PEM.format("key")),
        ("crt", "crt", NO_PEM.format("key")),
        ("crt", "other", "tls: private key does not match public key"),
    ],
)
def test_a_pair_that_is_none(files: Path, cert: str, key: str, said: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(TLSFileError) as refused:
        load_pair(context, files / cert, files / key)
    pair = f"unable to load certificate {files / cert} with key {files / key}: "
    assert str(refused.value) == pair + said.format(files)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("absent", "open {}/absent: no such file or directory"),
        ("junk", "error creating pool from {}/junk: data does not contain any valid RSA or ECDSA certificates"),
        ("key", "error creating pool from {}/key: data does not contain any valid RSA or ECDSA certificates"),
    ],
)
def test_authorities_that_are_none(files: Path, file: str, said: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(TLSFileError) as refused:
        load_authorities(context, files / file)
    assert str(refused.value) == f"unable to load client CA file {files / file}: {said.format(files)}"


def test_what_is_right_is_taken(files: Path) -> None:
    context = tls.server_context(files / "crt", files / "key", files / "ca")
    assert len(context.get_ca_certs()) == 1
    with pytest.raises(TLSFileError, match=r"^unable to load root certificates: unable to parse bytes as PEM block$"):
        tls.client_context("junk")


def test_a_daemon_ends_of_such_a_file_without_a_traceback(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(_: object) -> None:
        tls.server_context(files / "junk", files / "key")

    assert run_daemon(main) == 1
    (record,) = caplog.records
    assert record.exc_info is None and record.getMessage().startswith("unable to load certificate")
