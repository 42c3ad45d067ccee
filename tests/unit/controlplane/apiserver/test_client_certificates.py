"""How long the certificates still hold that clients show, and what is logged of those that do not."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from multidict import CIMultiDict, CIMultiDictProxy

from apimachinery.kit.certs import Authority
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.authenticator import Authenticator, FrontProxy
from controlplane.apiserver.authn.certificates import Peer
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User, authenticated

PROXY = FrontProxy({"proxies": frozenset([b"p"])}, {}, (), ("X-Remote-User",), (), ())
DAY = 86400


class NoTokens:
    async def authenticate(self, token: str) -> None:
        raise AssertionError


def told(bound: str) -> float:
    name = "apiserver_client_certificate_expiration_seconds_bucket"
    return REGISTRY.get_sample_value(name, {"le": bound}) or 0.0


async def shown(left: float, *, issuer: str = "clients", **headers: str) -> User:
    clock = ManualClock()
    now = int(clock.now().timestamp())
    user = authenticated("ann", ())
    peer = Peer(True, "ann", b"", issuer, 0, now + int(left), user)
    asked = Authenticator(cast("Any", NoTokens()), clock, front_proxy=PROXY)
    return await asked.authenticate(peer, CIMultiDictProxy(CIMultiDict(headers)), "/api")


async def test_it_is_counted_by_how_long_it_holds() -> None:
    bounds = ("0.0", "86400.0", "604800.0", "+Inf")
    before = [told(bound) for bound in bounds]
    assert (await shown(5 * DAY)).name == "ann"
    with pytest.raises(ApiError):
        await shown(-60)
    assert [told(bound) - was for bound, was in zip(bounds, before, strict=True)] == [1, 1, 2, 2]


async def test_a_proxys_certificate_is_not_the_users() -> None:
    before = told("+Inf")
    assert (await shown(DAY, issuer="proxies", **{"X-Remote-User": "ben"})).name == "ben"
    assert told("+Inf") == before


class Refusing:
    """Tokens that prove nothing, for these reasons."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons

    async def authenticate(self, token: str) -> None:
        if self.reasons:
            raise TokenError(*self.reasons)


OURS, THEIRS = Authority.create("kubernetes"), Authority.create("kubernetes")
LOGGED = '"Unable to authenticate the request" err="'


@pytest.mark.parametrize(
    ("signer", "days", "server", "words"),
    [
        (OURS, 30, False, "certificate has expired or is not yet valid: current time 2"),
        (THEIRS, 90, False, 'certificate signed by unknown authority (possibly because of \\"'),
        (OURS, 90, True, 'certificate specifies an incompatible key usage"'),
    ],
)
async def test_a_certificate_that_proves_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, signer: Authority, days: int, server: bool, words: str
) -> None:
    now = datetime.now(UTC) + timedelta(days=60)
    pair = signer.issue("ann", server=server, client=not server, days=days)
    shown = x509.load_pem_x509_certificate(pair.cert_pem)
    der, ends = shown.public_bytes(Encoding.DER), int(shown.not_valid_after_utc.timestamp())
    own = ssl.PEM_cert_to_DER_cert(OURS.pair.cert_pem.decode())
    proxy = FrontProxy({}, {"kubernetes": frozenset([own])}, (), (), (), ())
    asked = Authenticator(cast("Any", Refusing("it is old")), ManualClock(now), front_proxy=proxy)
    peer = Peer(False, "ann", der, "kubernetes", 0, ends, authenticated("ann", ()))
    with pytest.raises(ApiError):
        await asked.authenticate(peer, CIMultiDictProxy(CIMultiDict()), "/api")
    said = caplog.messages[-1]
    assert said.startswith(f"{LOGGED}verifying certificate SN={shown.serial_number}, SKID=")
    assert f" failed: x509: {words}" in said
    with pytest.raises(ApiError):
        await asked.authenticate(peer, CIMultiDictProxy(CIMultiDict(Authorization="Bearer t")), "/api")
    assert caplog.messages[-1].startswith(f"{LOGGED}[verifying certificate ")
    assert caplog.messages[-1].endswith(', invalid bearer token, it is old]"')


@pytest.mark.parametrize(
    ("reasons", "told"), [((), "invalid bearer token"), (("it is old",), "[invalid bearer token, it is old]")]
)
async def test_a_token_that_proves_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, reasons: tuple[str, ...], told: str
) -> None:
    asked = Authenticator(cast("Any", Refusing(*reasons)), ManualClock())
    with pytest.raises(ApiError):
        await asked.authenticate(None, CIMultiDictProxy(CIMultiDict(Authorization="Bearer t")), "/api")
    assert caplog.messages == [f'{LOGGED}{told}"']
