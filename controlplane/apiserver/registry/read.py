"""The verbs get and list: resourceVersion semantics, limit and continue over one snapshot, selectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery.meta import status
from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.continuation import no_longer, read_continue, write_continue
from controlplane.apiserver.registry.narrowing import narrowed, portion
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import told
from controlplane.apiserver.storage.cache_entries import Entry
from controlplane.apiserver.storage.cache_page import CachePage
from controlplane.apiserver.storage.interface import Compacted

Object = dict[str, Any]
Item = Entry[Attributes]


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a collection. `remaining`: None when it cannot be told (selectors) or nothing follows."""

    page: CachePage[Attributes]
    continue_: str = ""
    remaining: int | None = None

    def metadata(self) -> Object:
        """The ListMeta."""
        found: Object = {"resourceVersion": str(self.page.revision)}
        if self.continue_:
            found["continue"] = self.continue_
        if self.remaining:
            found["remainingItemCount"] = self.remaining
        return found


async def get_entry(collection: Collection, namespace: str, name: str, options: ListOptions) -> Item:
    """The object, at least as fresh as the options' revision (None: the newest), or with the match Exact as it was at
    that revision. Raises ApiError 404, 410 Expired, 503, 504."""
    key = collection.store.key(namespace, name)
    with told(collection.resource, name):
        if options.match == "Exact":
            try:
                found = await collection.cache.get_at(key, options.revision or 0)
            except Compacted:
                raise status.expired("The resourceVersion for the provided get is too old.") from None
        else:
            found = await collection.cache.get(key, fresh=options.revision)
    if found is None:
        raise status.not_found(collection.resource, name)
    return found


async def list_page(collection: Collection, namespace: str, selection: Selection, options: ListOptions) -> Listed:
    """A page as the options ask for; selected by what a webhook makes of the objects, it holds what that made. Raises
    ApiError 400, 410 Expired, 503, 504 (a resourceVersion yet to come)."""
    prefix, selects, pin = collection.store.prefix(namespace), selection.selects(), selection.pin
    # Upstream's cache answers "any version" whole, whatever the limit.
    wanted = 0 if options.revision == 0 and not options.continue_ else options.limit
    limit = portion(selection, wanted)
    with told(collection.resource, ""):
        if options.continue_:
            page = await _continued(collection, prefix, selection, options, limit)
        elif options.match == "Exact" or (options.limit and options.revision and not options.match):
            try:
                page = await collection.cache.list_at(
                    prefix, options.revision or 0, selects=selects, pin=pin, limit=limit
                )
            except Compacted:
                raise status.expired("The resourceVersion for the provided list is too old.") from None
        else:
            page = await collection.cache.list(prefix, selects=selects, pin=pin, fresh=options.revision, limit=limit)
        page = await narrowed(collection, prefix, selection, page, wanted)
    if not page.more or not page.entries:
        return Listed(page)
    token = write_continue(page.revision, page.entries[-1].key, prefix)
    return Listed(page, token, page.remaining if selection.everything else None)


async def _continued(
    collection: Collection, prefix: str, selection: Selection, options: ListOptions, limit: int
) -> CachePage[Attributes]:
    revision, start = read_continue(options.continue_, prefix)
    if options.revision:
        raise status.bad_request("specifying resource version is not allowed when using continue")
    if revision < 0:
        revision = await collection.store.storage.current_revision()
    try:
        return await collection.cache.list_at(
            prefix,
            revision,
            selects=selection.selects(),
            pin=selection.pin,
            limit=limit,
            start_after=start.removesuffix("\0"),
        )
    except Compacted:
        raise no_longer(start, prefix) from None
