"""Certificates that a client refuses on a real handshake, and what it says, which is what Go says."""

from __future__ import annotations

import asyncio
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority, KeyPair
from apimachinery.kit.refusals import Refused, refusal

OURS = Authority.create("kubernetes")
UNKNOWN = "certificate signed by unknown authority"


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


async def words(folder: Path, pair: KeyPair, name: str) -> str:
    """What is said of a server that shows `pair` to who dials `name` and trusts OURS."""
    for file, pem in (("cert", pair.cert_pem), ("key", pair.key_pem)):
        (folder / file).write_bytes(pem)
    shown = tls.server_context(folder / "cert", folder / "key")
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=shown) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Refused) as caught:
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls.client_context(OURS.pair.cert_pem), server_hostname=name
            )
    return caught.value.words


@pytest.mark.parametrize(
    ("authority", "dns", "ips", "name", "told"),
    [
        pytest.param("other", ["a.test"], [], "a.test", UNKNOWN, id="nobody-we-know"),
        pytest.param(
            "kubernetes",
            ["a.test"],
            [],
            "a.test",
            f'{UNKNOWN} (possibly because of "x509: ECDSA verification failure" while trying to verify candidate'
            ' authority certificate "kubernetes")',
            id="another-cluster",
        ),
        pytest.param(
            "", ["a.test", "*.b.test"], [], "c.test", "certificate is valid for a.test, *.b.test, not c.test", id="name"
        ),
        pytest.param("other", ["a.test"], [], "b.test", "certificate is valid for a.test, not b.test", id="name-first"),
        pytest.param(
            "", [], ["10.0.0.1", "10.0.0.2"], "10.0.0.9", "certificate is valid for 10.0.0.1, 10.0.0.2, not 10.0.0.9"
        ),
        pytest.param(
            "",
            ["a.test"],
            [],
            "10.0.0.9",
            "cannot validate certificate for 10.0.0.9 because it doesn't contain any IP SANs",
            id="no-address",
        ),
        pytest.param(
            "",
            [],
            ["10.0.0.1"],
            "a.test",
            "certificate is not valid for any names, but wanted to match a.test",
            id="no-name",
        ),
    ],
)
def test_what_is_said(tmp_path: Path, authority: str, dns: list[str], ips: list[str], name: str, told: str) -> None:
    pair = (Authority.create(authority) if authority else OURS).issue("s", dns=dns, ips=ips, server=True)
    for run in (asyncio.run, uvloop.run):
        assert run(words(tmp_path, pair, name)) == f"tls: failed to verify certificate: x509: {told}"


async def test_a_certificate_whose_time_is_over(tmp_path: Path) -> None:
    pair = OURS.issue("s", dns=["a.test"], server=True, days=0)  # it ended in the second in which it was made
    told = await words(tmp_path, pair, "b.test")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"
    expected = f"certificate has expired or is not yet valid: current time {stamp} is after {stamp}"
    assert re.fullmatch(f"tls: failed to verify certificate: x509: {expected}", told)


def test_a_clock_that_is_far_behind_and_an_authority_that_ended() -> None:
    past = datetime.now(UTC) - timedelta(days=365)
    leaf = der(OURS.issue("s", dns=["a.test"], server=True).cert_pem)
    told = refusal([leaf], [der(OURS.pair.cert_pem)], "a.test", 9, past)
    assert told.startswith("certificate has expired or is not yet valid: current time ") and " is before 20" in told
    ended = Authority.create("kubernetes", days=1)
    leaf = der(ended.issue("s", dns=["a.test"], server=True, days=30).cert_pem)
    late = datetime.now(UTC) + timedelta(days=3)
    told = refusal([leaf], [der(ended.pair.cert_pem)], "a.test", 10, late)
    assert told.startswith("certificate has expired or is not yet valid: current time ") and " is after 20" in told


@pytest.mark.parametrize("shown", [[], [b"no DER"]])
def test_what_cannot_be_read(shown: list[bytes]) -> None:
    assert refusal(shown, [], "a.test", 20, datetime.now(UTC)) == UNKNOWN
