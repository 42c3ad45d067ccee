"""The order of admission: every mutating plug-in, then every validating one, fail closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Review:
    """What a plug-in is asked about. operation: CREATE, UPDATE, DELETE or CONNECT.

    `new` is None on DELETE; `old` None on CREATE. A mutating plug-in changes `new` in place. `options`: the
    DeleteOptions of a DELETE.
    """

    call: Call
    operation: str
    new: Object | None
    old: Object | None = None

    def is_for(self, group: str, plural: str, *subresources: str) -> bool:
        """Whether it is about that resource, and one of those subresources ("" is the object itself)."""
        resource = self.call.resource
        return (
            resource.group == group and resource.plural == plural and self.call.subresource in (subresources or ("",))
        )


class Plugin:
    """An admission plug-in; each may mutate, validate or both."""

    name = ""

    async def mutate(self, review: Review) -> None:
        """Change `review.new`. Raises ApiError to refuse."""

    async def validate(self, review: Review) -> None:
        """Raises ApiError to refuse."""


class Chain:
    """The enabled plug-ins, in upstream's order."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._mutating = [each for each in plugins if type(each).mutate is not Plugin.mutate]
        self._validating = [each for each in plugins if type(each).validate is not Plugin.validate]

    async def mutate(self, review: Review) -> None:
        for plugin in self._mutating:
            await plugin.mutate(review)

    async def validate(self, review: Review) -> None:
        for plugin in self._validating:
            await plugin.validate(review)
