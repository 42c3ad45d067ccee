"""--token-auth-file: a CSV of `token,user,uid,"group1,group2"` lines (k8s.io/apiserver tokenfile)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from controlplane.apiserver.authn.token_authenticators import Found, of_the_server
from controlplane.apiserver.authn.user import User, authenticated


def load(path: Path) -> dict[str, User]:
    """Token → user. Raises ValueError naming the line, OSError."""
    found: dict[str, User] = {}
    with path.open(newline="") as lines:
        for number, record in enumerate(csv.reader(lines, skipinitialspace=True), 1):
            if not record or record[0].startswith("#"):
                continue
            if len(record) < 3:
                raise ValueError(
                    f"token file '{path}' must have at least 3 columns "
                    f"(token, user name, user uid), found {len(record)}"
                )
            token, name, uid, *rest = record
            if not token or token in found:
                what = "has been found again" if token else "is empty"
                raise ValueError(f"{path}: line {number}: the token {what}")
            groups = tuple(rest[0].split(",")) if rest and rest[0] else ()
            found[token] = authenticated(name, groups, uid)
    return found


class TokenFileAuthenticator:
    """Static tokens, as they were when the server started."""

    def __init__(self, tokens: dict[str, User], audiences: Sequence[str]) -> None:
        self._tokens, self._audiences = tokens, tuple(audiences)

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """As `TokenAuthenticator`."""
        user = self._tokens.get(token)
        return of_the_server(user, self._audiences, audiences) if user is not None else None
