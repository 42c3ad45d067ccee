"""What a list of the watch cache gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .cache_entries import Entry
from .interface import Revision

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CachePage(Generic[T]):
    """Entries in key order, of one moment. `remaining` counts the keys that follow, whether selected or not."""

    entries: Sequence[Entry[T]]
    revision: Revision
    more: bool = False
    remaining: int = 0

    def joined(self) -> bytes:
        """The inside of a List's "items"."""
        return b",".join([entry.served for entry in self.entries])
