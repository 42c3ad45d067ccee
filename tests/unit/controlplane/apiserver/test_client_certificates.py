"""How long the certificates still hold that clients show."""

from typing import Any, cast

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.authenticator import Authenticator, FrontProxy
from controlplane.apiserver.authn.certificates import Peer
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
