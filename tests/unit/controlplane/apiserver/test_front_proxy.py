"""Whom a certificate names, and whom a front proxy in its headers."""

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from controlplane.apiserver.authn.authenticator import FrontProxy
from controlplane.apiserver.authn.certificates import Peer, peer

PROXY = FrontProxy("proxies", ("front",), ("X-Remote-User",), ("X-Remote-Group",), ("X-Remote-Extra-",))


def named(*headers: tuple[str, str], **changes: Any) -> Any:
    known = {"verified": True, "common_name": "front", "issuer": "proxies", "not_before": 0, "not_after": 1}
    return PROXY.authenticate(Peer(**{**known, "user": None, **changes}), CIMultiDictProxy(CIMultiDict(headers)))


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


def test_of_several_common_names_the_last_counts() -> None:
    subject = ((("commonName", "first"), ("organizationName", "o")), (("commonName", "last"),))
    begins, ends = "Jan  1 00:00:00 2026 GMT", "Jan  2 00:00:00 2026 GMT"
    shown = {"subject": subject, "issuer": (*subject, (("commonName", "ca"),)), "notBefore": begins, "notAfter": ends}
    found = peer(shown, b"", verified=True)
    assert found.user is not None and (found.common_name, found.issuer, found.user.name) == ("last", "ca", "last")
    assert found.user.groups == ("o", "system:authenticated")
