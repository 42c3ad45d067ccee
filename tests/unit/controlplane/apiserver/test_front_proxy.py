"""Whom a certificate names, and whom a front proxy in its headers."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from multidict import CIMultiDict, CIMultiDictProxy

from apimachinery.kit.certs import Authority
from controlplane.apiserver.authn.authenticator import FrontProxy
from controlplane.apiserver.authn.certificates import Authorities, Peer, authorities, peer

HEADERS = ("front",), ("X-Remote-User",), ("X-Remote-Group",), ("X-Remote-Extra-",)
PROXY = FrontProxy({"proxies": frozenset((b"one",))}, {"clients": frozenset((b"two",))}, *HEADERS)


def named(*headers: tuple[str, str], **changes: Any) -> Any:
    known = {"verified": True, "common_name": "front", "der": b"", "issuer": "proxies"}
    known |= {"not_before": 0, "not_after": 1, "user": None}
    return PROXY.authenticate(Peer(**{**known, **changes}), CIMultiDictProxy(CIMultiDict(headers)))


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        ("jane", (), ("system:authenticated",)),
        ("jane", ("devs", "", "ops"), ("devs", "ops", "system:authenticated")),
        ("jane", ("system:authenticated", "devs"), ("system:authenticated", "devs")),
        ("system:anonymous", ("system:unauthenticated",), ("system:unauthenticated",)),
        ("system:anonymous", (), ()),
        ("jane", ("system:unauthenticated",), ("system:unauthenticated",)),
    ],
)
def test_who_is_named_is_authenticated_unless_it_is_nobody(
    name: str, groups: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    user = named(("X-Remote-User", name), *(("X-Remote-Group", group) for group in groups))
    assert (user.name, user.groups) == (name, expected)


def test_what_else_is_said_of_the_user() -> None:
    user = named(("X-Remote-User", "jane"), ("X-Remote-Extra-Scopes%2FA", "a"), ("x-remote-extra-scopes%2fa", "b"))
    assert user.extra == {"scopes/a": ("a", "b")}
    assert named(("X-Remote-User", "jane"), ("X-Remote-Extra-%41", "a")).extra == {"A": ("a",)}


def test_who_is_believed() -> None:
    assert named(("X-Remote-User", "jane"), common_name="other") is None
    assert named(("X-Remote-User", "jane"), issuer="others") is None
    assert named(("X-Remote-Group", "devs")) is None


def shown(by: Authority, name: str = "front") -> Peer:
    """The certificate of a client as a connection knows it, which one of the authorities has verified."""
    pair = by.issue(name, client=True)
    certificate = x509.load_pem_x509_certificate(pair.cert_pem)
    issuer = tuple((("commonName", str(each.value)),) for each in certificate.issuer)
    told = {"subject": ((("commonName", name),),), "issuer": issuer}
    told |= {"notBefore": "Jan  1 00:00:00 2020 GMT", "notAfter": "Jan  1 00:00:00 2120 GMT"}
    return peer(told, certificate.public_bytes(Encoding.DER), verified=True)


def configured(folder: Path, proxies: list[Authority], clients: list[Authority]) -> FrontProxy:
    def known(these: list[Authority]) -> Authorities:
        file = folder / "authorities"
        file.write_bytes(b"".join(each.pair.cert_pem for each in these))
        return authorities(file)

    return FrontProxy(known(proxies), known(clients), *HEADERS)


def judged(proxy: FrontProxy, certificate: Peer) -> tuple[bool, bool]:
    """Whether it is a proxy's, and whether it may be a client's own."""
    headers = CIMultiDictProxy(CIMultiDict({"X-Remote-User": "jane"}))
    return proxy.authenticate(certificate, headers) is not None, proxy.leaves(certificate)


def test_which_authority_issued_a_certificate(tmp_path: Path) -> None:
    old, new, clients = (Authority.create(name) for name in ("old-front", "new-front", "clients"))
    proxy = configured(tmp_path, [old, new], [clients])
    assert [judged(proxy, shown(each)) for each in (old, new)] == [(True, False)] * 2
    assert judged(proxy, shown(clients)) == (False, True)


def test_one_authority_for_both(tmp_path: Path) -> None:
    both = Authority.create("kubernetes")
    proxy = configured(tmp_path, [both], [both])
    assert judged(proxy, shown(both)) == (True, True)
    assert judged(proxy, shown(both, "bob")) == (False, True)


def test_two_authorities_of_one_name(tmp_path: Path) -> None:
    front, clients = Authority.create("kubernetes"), Authority.create("kubernetes")
    proxy = configured(tmp_path, [front], [clients])
    assert judged(proxy, shown(front)) == (True, False)
    assert judged(proxy, shown(clients)) == (False, True)


def test_of_several_common_names_the_last_counts() -> None:
    subject = ((("commonName", "first"), ("organizationName", "o")), (("commonName", "last"),))
    begins, ends = "Jan  1 00:00:00 2026 GMT", "Jan  2 00:00:00 2026 GMT"
    shown = {"subject": subject, "issuer": (*subject, (("commonName", "ca"),)), "notBefore": begins, "notAfter": ends}
    found = peer(shown, b"", verified=True)
    assert found.user is not None and (found.common_name, found.user.name) == ("last", "last")
    assert found.user.groups == ("o", "system:authenticated")
