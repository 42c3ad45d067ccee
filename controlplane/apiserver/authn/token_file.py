"""--token-auth-file: a CSV of `token,user,uid,"group1,group2"` lines (k8s.io/apiserver tokenfile)."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from controlplane.apiserver.authn.token_authenticators import Found, of_the_server
from controlplane.apiserver.authn.user import User, authenticated

log = logging.getLogger(__name__)


def load(path: Path) -> dict[str, User]:
    """Token → user; of a token that is there twice, the last. Raises ValueError for a line with too few columns,
    OSError."""
    found: dict[str, User] = {}
    with path.open(newline="") as lines:
        for number, record in enumerate(filter(None, csv.reader(lines)), 1):
            if len(record) < 3:
                raise ValueError(
                    f"token file '{path}' must have at least 3 columns "
                    f"(token, user name, user uid), found {len(record)}"
                )
            token, name, uid, *rest = record
            if not token or token in found:
                what = "duplicate" if token else "empty"
                log.warning("%s token has been found in token file '%s', record number '%d'", what, path, number)
            if token:
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
