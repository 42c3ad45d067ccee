"""How a change reads what it changes: first from memory, then from the store, again as long as others are quicker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery.meta import status
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection

Object = dict[str, Any]
Attempt = Callable[[Object], Awaitable[tuple[Object, bool]]]


class Raced(Exception):
    """The store has another version than the one that was changed; `error` is what the client is told in the end."""

    def __init__(self, error: status.ApiError) -> None:
        super().__init__(str(error))
        self.error = error


async def begin_change(
    collection: Collection, call: Call, name: str, attempt: Attempt, attempts: int
) -> tuple[Object, bool]:
    """What `attempt` makes of the object, which it is given as it is stored, a new dict each time: the object after it,
    and whether it is gone.

    The first time it is the watch cache's, if that has one: reading the store is a third of what a change costs, and
    what is behind cannot do harm, for every write is a compare-and-set (as upstream's GuaranteedUpdate). What was
    refused, or found to need no write, on an older version than the store's is tried again; no write also, where only
    the read has shown that the value is encrypted with an old key.
    Raises ApiError 404, what `attempt` raises, and the conflict when `attempts` were lost.
    """
    known = None if call.dry_run else collection.remembered(call.namespace, name)
    current: Object | None = None
    if known is not None:
        version = known["metadata"]["resourceVersion"]
        refusal: status.ApiError | None = None
        found: tuple[Object, bool] | None = None
        try:
            found = await attempt(known)
            obj, gone = found
            if gone or obj["metadata"]["resourceVersion"] != version:
                return found
        except Raced:
            pass
        except status.ApiError as error:
            refusal = error
        current = await collection.store.get(call.namespace, name)
        if current["metadata"]["resourceVersion"] == version:
            if refusal is not None:
                raise refusal
            if found is not None and not collection.store.is_stale(current):
                return found
    for number in range(attempts):
        if current is None:
            current = await collection.store.get(call.namespace, name)
        try:
            return await attempt(current)
        except Raced as raced:
            if number == attempts - 1:
                raise raced.error from None
        current = None
    raise AssertionError("the loop returns or raises")
