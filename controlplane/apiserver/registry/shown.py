"""What a collection's objects are in a version that has to be made of them: once, for many at a time.

A field selector may name fields that only such a version has (KEP-4358). Upstream's watch cache holds the objects of
every version; here the cache holds what is stored, and `Shown` what became of it in a version whose fields somebody
selects by.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import orjson

from apimachinery.kit import go_json
from controlplane.apiserver.storage.cache_entries import Entry
from controlplane.apiserver.storage.interface import Revision

T = TypeVar("T")
Key = tuple[str, Revision]
Object = dict[str, Any]
Convert = Callable[[list[Object]], Awaitable[list[Object]]]

PORTION = 500
"""Objects in one question to the webhook, at most."""
PORTION_BYTES = 4 << 20
"""The same in bytes, unless one object has more: answers of more than 16 MiB are refused."""
SPARE = 1000
"""States that are remembered beyond those that the number of objects allows."""


class Shown(Generic[T]):
    """The entries of one collection in one version. `convert` makes objects of it, in order, and gives back those that
    need not be made; `as_is`: the apiVersion of what is known to be such ("": nothing); `parse` as Cacher's. `held`:
    how many objects there are; twice as many states are remembered, those longest unused forgotten first."""

    def __init__(self, convert: Convert, parse: Callable[[bytes], T], held: Callable[[], int], as_is: str = "") -> None:
        self._convert_all, self._parse, self._held = convert, parse, held
        self._as_is = b'{"apiVersion":"%b",' % as_is.encode()
        self._made: OrderedDict[Key, Entry[T]] = OrderedDict()
        self._coming: dict[Key, asyncio.Task[dict[Key, Entry[T]]]] = {}

    async def of(self, entries: Sequence[Entry[T]]) -> list[Entry[T]]:
        """Each of them in that version, in order; itself when nothing has to be made. Whoever else wants the same
        meanwhile shares the question. Raises what `convert` raises, of which nothing is remembered."""
        found: dict[Key, Entry[T]] = {}
        missing = {(entry.key, entry.revision): entry for entry in entries if not self._knows(entry, found)}
        for portion in _portions(missing.values()):
            found |= await self._asked(portion)
        return [found.get((entry.key, entry.revision), entry) for entry in entries]

    def _knows(self, entry: Entry[T], found: dict[Key, Entry[T]]) -> bool:
        if entry.served.startswith(self._as_is):
            return True
        key = entry.key, entry.revision
        made = self._made.get(key)
        if made is None:
            return False
        self._made.move_to_end(key)
        found[key] = made
        return True

    async def _asked(self, portion: list[Entry[T]]) -> dict[Key, Entry[T]]:
        """The same for these, of which somebody else may have asked for some by now."""
        found: dict[Key, Entry[T]] = {}
        asking: dict[asyncio.Task[dict[Key, Entry[T]]], None] = {}
        own: list[Entry[T]] = []
        for entry in portion:
            if (task := self._coming.get((entry.key, entry.revision))) is not None:
                asking[task] = None
            elif not self._knows(entry, found):
                own.append(entry)
        if own:
            asking[self._ask(own)] = None
        for task in asking:
            # Who goes away leaves the answer to the others.
            found |= await asyncio.shield(task)
        return found

    def _ask(self, entries: list[Entry[T]]) -> asyncio.Task[dict[Key, Entry[T]]]:
        task = asyncio.create_task(self._convert(entries))
        keys = [(entry.key, entry.revision) for entry in entries]
        self._coming |= dict.fromkeys(keys, task)
        task.add_done_callback(partial(self._answered, keys))
        return task

    async def _convert(self, entries: list[Entry[T]]) -> dict[Key, Entry[T]]:
        objects: list[Object] = [orjson.loads(entry.served) for entry in entries]
        shown = await self._convert_all(objects)
        made: dict[Key, Entry[T]] = {}
        for entry, before, obj in zip(entries, objects, shown, strict=True):
            key = entry.key, entry.revision
            made[key] = entry if obj is before else Entry(*key, go_json.encode(obj), self._parse)
        return made

    def _answered(self, keys: list[Key], task: asyncio.Task[dict[Key, Entry[T]]]) -> None:
        for key in keys:
            del self._coming[key]
        if task.cancelled() or task.exception() is not None:
            return
        self._made |= task.result()
        most = 2 * self._held() + SPARE
        while len(self._made) > most:
            self._made.popitem(last=False)


def _portions(entries: Iterable[Entry[T]]) -> Iterator[list[Entry[T]]]:
    portion: list[Entry[T]] = []
    size = 0
    for entry in entries:
        if portion and (len(portion) == PORTION or size + len(entry.served) > PORTION_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(entry)
        size += len(entry.served)
    if portion:
        yield portion
