"""Acting as somebody else: what must be allowed for it."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from controlplane.apiserver.authn.impersonation import impersonate
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes


async def acting(*headers: tuple[str, str]) -> tuple[User, list[tuple[str, str, str]]]:
    """Who it is, and what was asked for: (resource, namespace, name)."""
    asked: list[tuple[str, str, str]] = []

    async def authorize(attributes: Attributes) -> None:
        asked.append((attributes.resource, attributes.namespace, attributes.name))

    named = CIMultiDictProxy(CIMultiDict((f"Impersonate-{key}", value) for key, value in headers))
    return await impersonate(User("eve"), named, authorize), asked


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("system:serviceaccount:ns:sa", ("serviceaccounts", "ns", "sa")),
        ("system:serviceaccount:ns:a.b", ("serviceaccounts", "ns", "a.b")),
        *(
            (name, ("users", "", name))
            for name in (
                "system:serviceaccount:ns:",
                "system:serviceaccount::sa",
                "system:serviceaccount:ns:A_b",
                "system:serviceaccount:n.s:sa",
                "system:serviceaccount:ns:sa:more",
                "system:serviceaccount:ns",
                "other:serviceaccount:ns:sa",
                "bob",
            )
        ),
    ],
)
async def test_only_names_that_accounts_have_are_accounts(name: str, asked: tuple[str, str, str]) -> None:
    user, questions = await acting(("User", name))
    assert questions == [asked]
    added = ("system:serviceaccounts", "system:serviceaccounts:ns") if asked[0] == "serviceaccounts" else ()
    assert user.groups == (*added, "system:authenticated")


async def test_the_order_of_the_questions() -> None:
    _, asked = await acting(("Uid", "7"), ("Extra-Scopes", "a"), ("Group", "devs"), ("User", "bob"))
    assert [resource for resource, _, _ in asked] == ["users", "groups", "userextras", "uids"]
