"""What the proxier asks of a mode: bring the kernel to these ports, and say whether it still is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from .node import NodeView
from .services import Endpoint, ServicePort

Ports = Sequence[tuple[ServicePort, Sequence[Endpoint]]]
"""The ports of one Service, each with its endpoints. A Service that is not to be proxied has none."""


class Backend(Protocol):
    """The rules of one address family in the kernel. Its methods are called in turn, never at the same time."""

    command: str
    """What is executed, for messages."""

    transactions: int
    """How many the last `write` committed."""

    holds: bool
    """Whether the kernel was brought to what was last asked. When it is set to False, the next write is whole."""

    async def write(
        self, ports: Mapping[str, Ports], changed: Set[str], view: NodeView, *, at_most: int | None = None
    ) -> float | None:
        """Bring the kernel from what was last written to `ports`, by Service; cost is that of what `changed`.

        ports: those that changed are worked out when they are asked for. at_most: endpoints that all of them have
        together, at most; None when nobody has counted.

        changed: the keys whose ports may be others than at the last call, or gone. With `holds` False, everything of
        ours is written anew over whatever is there. A float asks for another write after so many seconds. Raises
        CommandError or OSError; the kernel is then as it was, and `holds` is False.
        """

    async def is_whole(self) -> bool:
        """Whether the kernel holds what was written. Raises CommandError or OSError."""

    def counts(self) -> Mapping[str, int]:
        """The rules in the kernel by table, where the mode has a metric for them."""
