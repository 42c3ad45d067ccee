"""The verbs get and list: resourceVersion semantics, limit and continue over one snapshot, selectors."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery.meta import status
from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import told
from controlplane.apiserver.storage.cache_entries import Entry
from controlplane.apiserver.storage.cacher import CachePage

Object = dict[str, Any]
Item = Entry[Attributes]

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


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


async def get_entry(collection: Collection, namespace: str, name: str, revision: int | None = None) -> Item:
    """The object, at least as fresh as `revision` (None: the newest). Raises ApiError 404, 503, 504."""
    with told(collection.resource, name):
        found = await collection.cache.get(collection.store.key(namespace, name), fresh=revision)
    if found is None:
        raise status.not_found(collection.resource, name)
    return found


async def list_page(collection: Collection, namespace: str, selection: Selection, options: ListOptions) -> Listed:
    """A page as the options ask for. Raises ApiError 400, 410 Expired, 504 (a resourceVersion yet to come)."""
    prefix, selects = collection.store.prefix(namespace), selection.selects()
    with told(collection.resource, ""):
        if options.continue_:
            if options.revision:
                raise status.bad_request("specifying resource version is not allowed when using continue")
            revision, start = _read_continue(options.continue_, prefix)
            try:
                with told(collection.resource, ""):
                    page = await collection.cache.list_at(
                        prefix, revision, selects=selects, limit=options.limit, start_after=start
                    )
            except status.ApiError as error:
                raise status.expired(_TOO_OLD) if status.is_expired(error) else error from None
        elif options.match == "Exact" or (options.limit and options.revision and not options.match):
            page = await collection.cache.list_at(prefix, options.revision or 0, selects=selects, limit=options.limit)
        else:
            page = await collection.cache.list(prefix, selects=selects, fresh=options.revision, limit=options.limit)
    if not page.more or not page.entries:
        return Listed(page)
    token = _write_continue(page.revision, page.entries[-1].key, prefix)
    return Listed(page, token, page.remaining if selection.everything else None)


def _read_continue(token: str, prefix: str) -> tuple[int, str]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = orjson.loads(raw)
        version, start = found["rv"], found["start"]
        if found["v"] != "meta.k8s.io/v1" or type(version) is not int or version <= 0 or not isinstance(start, str):
            raise ValueError("not a token of ours")
    except (ValueError, KeyError, TypeError):
        raise status.bad_request("continue key is not valid: encoded continue token is malformed") from None
    if ".." in start or start.startswith("/"):
        raise status.bad_request(f"continue key is not valid: {start!r}")
    return version, prefix + start


def _write_continue(revision: int, key: str, prefix: str) -> str:
    document = {"v": "meta.k8s.io/v1", "rv": revision, "start": key.removeprefix(prefix)}
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()
