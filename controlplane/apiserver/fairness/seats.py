"""What the listener needs to know of limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from controlplane.apiserver.authz.attributes import Attributes


class Held(Protocol):
    """What a request holds while it runs."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer says of it."""
        ...

    def release(self) -> None:
        """The request is done, or needs it no more."""
        ...


class Seats(Protocol):
    """Who may run now."""

    async def take(self, asked: Attributes) -> Held:
        """Waits for a seat. Raises ApiError 429."""
        ...
