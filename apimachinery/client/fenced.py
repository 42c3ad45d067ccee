"""A client that writes only while its process leads.

A leader that was stopped (a paused machine, a long collection of garbage) and goes on does not know yet that another
has taken over; what it was about to write would be written beside the new leader's. So each write asks first, and asks
again when its bytes are about to go to the kernel: a connection may have been waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .config import ClientConfig
from .rest import ApiUnreachable, Body, Client


class FencedClient(Client):
    """Reads always; writes while `holds()`. Otherwise a write raises ApiUnreachable and nothing is sent."""

    def __init__(self, config: ClientConfig, program: str, holds: Callable[[], bool], *, agent_tail: str = "") -> None:
        super().__init__(config, program, agent_tail=agent_tail)
        self._holds = self._may_write = holds

    async def _sent(
        self, method: str, path: str, query: Mapping[str, str], body: Body | None, content_type: str
    ) -> bytes:
        if method != "GET" and not self._holds():
            raise ApiUnreachable(f"{method} {path}: not sent, the lease may be another's by now")
        return await super()._sent(method, path, query, body, content_type)
