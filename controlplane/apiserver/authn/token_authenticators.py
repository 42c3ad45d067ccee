"""Bearer tokens: the ways to read one, asked one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User

Found = tuple[User, list[str]]
"""The user, and those of the audiences asked for that the token is meant for."""


class TokenAuthenticator(Protocol):
    """One kind of token."""

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """The user and audiences; None when the token is not of this kind. Raises TokenError for one that is, but
        proves nothing. audiences: what the token must be meant for; the server's own when empty."""
        ...


class TokenAuthenticators:
    """All kinds. The first that knows the token counts; errors count only when nobody knows it: all of them, in the
    form of upstream's aggregate."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Found | None:
        """As `TokenAuthenticator`."""
        errors: list[str] = []
        for each in self._authenticators:
            try:
                if (found := await each.authenticate(token, audiences)) is not None:
                    return found
            except TokenError as error:
                errors += error.reasons
        if errors:
            raise TokenError(*errors)
        return None


def of_the_server(user: User, own: Sequence[str], asked: Sequence[str]) -> Found | None:
    """A user whose token names no audience: it is meant for the API server alone."""
    if not asked:
        return user, list(own)
    both = [audience for audience in asked if audience in own]
    return (user, both) if both else None
