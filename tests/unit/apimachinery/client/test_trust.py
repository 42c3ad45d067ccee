"""Whose certificate a component's port is shown: the front proxy's, a user's, nobody's; and its open paths."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from multidict import CIMultiDict, CIMultiDictProxy

from apimachinery.client.open_paths import OpenPaths
from apimachinery.client.trust import CREDENTIAL_ID, Trust, User
from apimachinery.kit.certs import Authority

NOW = datetime.now(UTC)
NAMED = CIMultiDictProxy(CIMultiDict({"X-Remote-User": "eve", "X-Remote-Group": "a", "X-Remote-Extra-A%2FB": "c"}))
NOTHING = CIMultiDictProxy(CIMultiDict[str]())
EVE = User("eve", ("a",), "", {"a/b": ("c",)})


def trust(users: Authority | None, front: Authority | None, names: str = '["front-proxy-client"]') -> Trust:
    data = {
        "requestheader-allowed-names": names,
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
    if users is not None:
        data["client-ca-file"] = users.pair.cert_pem.decode()
    if front is not None:
        data["requestheader-client-ca-file"] = front.pair.cert_pem.decode()
    return Trust.read(data)


def der(authority: Authority, name: str, *groups: str) -> bytes:
    pem = authority.issue(name, orgs=groups, client=True).cert_pem
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_of_two_authorities_each_makes_its_own() -> None:
    users, front = Authority.create("kubernetes"), Authority.create("front-proxy-ca")
    both = trust(users, front)
    assert both.user(der(front, "front-proxy-client"), NAMED, NOW) == EVE
    assert both.user(der(front, "front-proxy-client"), NOTHING, NOW) is None
    assert both.user(der(front, "ann", "system:masters"), NAMED, NOW) is None
    ann = both.user(der(users, "ann", "x", "y"), NAMED, NOW)
    assert ann is not None and (ann.name, ann.groups) == ("ann", ("x", "y"))
    (credential,) = ann.extra[CREDENTIAL_ID]
    assert credential.startswith("X509SHA256=") and len(credential) == 75
    false = both.user(der(users, "front-proxy-client"), NAMED, NOW)
    assert false is not None and false.name == "front-proxy-client"
    assert both.user(der(Authority.create("kubernetes"), "ann"), NAMED, NOW) is None
    everyone = trust(users, front, "[]")
    assert everyone.user(der(front, "anybody"), NAMED, NOW) == EVE
    found = everyone.user(der(users, "ann"), NAMED, NOW)
    assert found is not None and found.name == "ann"


def test_authorities_of_one_name_are_told_apart_by_their_keys() -> None:
    users, front = Authority.create("lab"), Authority.create("lab")
    for names in ('["front-proxy-client"]', "[]"):
        both = trust(users, front, names)
        found = both.user(der(users, "front-proxy-client"), NAMED, NOW)
        assert found is not None and found.name == "front-proxy-client"
        assert both.user(der(front, "front-proxy-client"), NAMED, NOW) == EVE


def test_where_one_authority_is_both_a_front_proxy_is_one_by_its_name() -> None:
    one = Authority.create("kubernetes")
    both = trust(one, one)
    assert both.user(der(one, "front-proxy-client"), NAMED, NOW) == EVE
    ann = both.user(der(one, "ann"), NAMED, NOW)
    assert ann is not None and ann.name == "ann"
    found = trust(one, one, "[]").user(der(one, "front-proxy-client"), NAMED, NOW)
    assert found is not None and found.name == "front-proxy-client"


def test_either_authority_may_be_missing() -> None:
    authority = Authority.create("kubernetes")
    ann = trust(authority, None).user(der(authority, "ann"), NAMED, NOW)
    assert ann is not None and ann.name == "ann"
    only = trust(None, authority)
    assert only.user(der(authority, "ann"), NAMED, NOW) is None
    assert only.user(der(authority, "front-proxy-client"), NAMED, NOW) == EVE
    with pytest.raises(KeyError):
        trust(None, None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises((ssl.SSLError, ValueError)):
        Trust(None, "no PEM").ask_clients(context)
    trust(authority, Authority.create("front-proxy-ca")).ask_clients(context)
    assert context.verify_mode == ssl.CERT_OPTIONAL and len(context.get_ca_certs()) == 2


def test_a_certificate_counts_while_it_is_valid() -> None:
    users = Authority.create("kubernetes")
    shown, both = der(users, "ann"), trust(users, None)
    assert both.user(shown, NAMED, NOW + timedelta(days=366)) is None
    assert both.user(shown, NAMED, NOW - timedelta(days=1)) is None
    assert both.user(b"no certificate", NAMED, NOW) is None


def test_open_paths() -> None:
    usual = OpenPaths()
    assert all(path in usual for path in ("/healthz", "/readyz", "/livez"))
    assert not any(path in usual for path in ("/", "/metrics", "/healthz/", "/healthz/ping", "/debug/loops"))
    some = OpenPaths(["/metrics", "conf*"])
    assert all(path in some for path in ("/metrics", "/configz", "/conf"))
    assert "/healthz" not in some and "/" not in some and "/metrics" not in OpenPaths([])
    assert "/" in OpenPaths(["/"]) and "/anything" in OpenPaths(["*"])
    with pytest.raises(ValueError, match=r'only trailing \* allowed in "a\*b"'):
        OpenPaths(["/a*b"])
