"""Who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
SERVICE_ACCOUNTS = "system:serviceaccounts"


class User(Struct, frozen=True):
    """A user as authorization and reviews see it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_info(self) -> dict[str, Any]:
        """The UserInfo of authentication.k8s.io, without empty members."""
        info: dict[str, Any] = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info

    @property
    def node_name(self) -> str | None:
        """The node this user is, or None (upstream's NodeIdentifier)."""
        prefix = "system:node:"
        return self.name[len(prefix) :] if self.name.startswith(prefix) and "system:nodes" in self.groups else None


NOBODY = User("")
"""In the place of the user whose proofs did not hold."""
ANONYMOUS = User("system:anonymous", groups=(UNAUTHENTICATED,))


def authenticated(name: str, groups: tuple[str, ...], uid: str = "", extra: Mapping[str, Any] | None = None) -> User:
    """A user whose identity was proven: with the group that says so. A proxy, or a webhook, may also say that it is
    nobody, who stays that."""
    known = name == ANONYMOUS.name or AUTHENTICATED in groups or UNAUTHENTICATED in groups
    return User(name, uid, groups if known else (*groups, AUTHENTICATED), extra or {})
