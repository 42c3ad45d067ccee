"""The graph of owners and dependents that the garbage collector walks. Pure; no I/O.

A node may be virtual: some object names it as its owner, but no informer has shown it. Whether it exists must then be
asked of the API itself before anything is deleted on its account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import objects

Object = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


def owner_references(obj: Mapping[str, Any]) -> list[Object]:
    """metadata.ownerReferences."""
    return list(obj["metadata"].get("ownerReferences") or ())


@dataclass(slots=True)
class Item:
    """One object: who it is, whom it depends on, who depends on it (both by uid)."""

    uid: str
    kind: str
    api_version: str
    name: str
    namespace: str
    resource: Resource | None = None
    virtual: bool = False
    deleting: bool = False
    finalizers: frozenset[str] = frozenset()
    owners: list[Object] = field(default_factory=list)
    dependents: set[str] = field(default_factory=set)

    @property
    def deletes_dependents(self) -> bool:
        """True while foreground deletion waits for the dependents to go."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        """True while orphaning deletion waits for the dependents to be let go."""
        return self.deleting and ORPHAN in self.finalizers

    def is_named_by(self, reference: Object, namespace: str) -> bool:
        """Tell whether a reference of an object in `namespace` has the item's coordinates, not only its uid."""
        own = (self.api_version, self.kind, self.name)
        named = own == tuple(reference.get(key, "") for key in ("apiVersion", "kind", "name"))
        return named and self.namespace in ("", namespace)

    def blocks(self, owner_uid: str) -> bool:
        """Tell whether the item must be gone before the owner, in foreground deletion, may go."""
        return any(ref["uid"] == owner_uid and ref.get("blockOwnerDeletion") for ref in self.owners)


class OwnershipGraph:
    """Items by uid. Each change returns the uids that must be looked at because of it."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    def copy(self) -> OwnershipGraph:
        """Another with the same items, which changes by itself. Cost: O(items)."""
        other = OwnershipGraph()
        other.items = {
            uid: replace(item, owners=list(item.owners), dependents=set(item.dependents))
            for uid, item in self.items.items()
        }
        return other

    def observe(self, resource: Resource, obj: Object) -> set[str]:
        """An object was seen first or changed. Cost: O(its owners), plus its dependents when its deletion began."""
        uid = objects.uid(obj)
        item = self.items.get(uid)
        if item is None:
            item = self.items[uid] = Item(uid, "", "", "", "")
        began = objects.is_deleting(obj) and not item.deleting
        item.kind, item.api_version, item.resource = resource.kind, resource.api_version, resource
        item.name, item.namespace, item.virtual = objects.name(obj), objects.namespace(obj), False
        item.deleting = objects.is_deleting(obj)
        item.finalizers = frozenset(obj["metadata"].get("finalizers") or ())
        look = self._set_owners(item, owner_references(obj))
        if item.orphans_dependents or item.deletes_dependents:
            look.add(uid)
        if began and item.deletes_dependents:
            look |= {d for d in item.dependents if self.items[d].blocks(uid)}
        return look

    def remove(self, uid: str) -> set[str]:
        """An object is gone. Its dependents lose an owner; an owner in foreground deletion may now go too."""
        item = self.items.get(uid)
        if item is None:
            return set()
        look = set(item.dependents)
        for reference in item.owners:
            owner = self.items.get(reference["uid"])
            if owner is None:
                continue
            owner.dependents.discard(uid)
            if owner.deletes_dependents:
                look.add(owner.uid)
            self._prune(owner)
        item.owners = []
        del self.items[uid]
        return look

    def blocking(self, item: Item) -> list[Item]:
        """Return the dependents that must be gone before the item may go."""
        found = (self.items.get(uid) for uid in item.dependents)
        return [dependent for dependent in found if dependent is not None and dependent.blocks(item.uid)]

    def _set_owners(self, item: Item, references: list[Object]) -> set[str]:
        look: set[str] = set()
        before = {ref["uid"]: ref for ref in item.owners}
        after = {ref["uid"]: ref for ref in references}
        for uid in before.keys() - after.keys():
            owner = self.items.get(uid)
            if owner is not None:
                owner.dependents.discard(item.uid)
                if owner.deletes_dependents:
                    look.add(uid)
                self._prune(owner)
        for uid, reference in after.items():
            owner = self.items.get(uid)
            if owner is None:
                owner = self.items[uid] = Item(
                    uid, reference.get("kind", ""), reference.get("apiVersion", ""), reference.get("name", ""),
                    item.namespace, virtual=True,
                )  # fmt: skip
                look.add(uid)
            elif uid not in before and not owner.is_named_by(reference, item.namespace):
                look.add(item.uid)  # perhaps nobody owns it: one in another namespace does not, nor one misnamed
            owner.dependents.add(item.uid)
            if owner.deletes_dependents:
                look.add(uid)
                if reference.get("blockOwnerDeletion"):
                    look.add(item.uid)
        if before.keys() - after.keys() or any(after[u] != before[u] for u in before.keys() & after.keys()):
            look.add(item.uid)
        item.owners = references
        return look

    def _prune(self, item: Item) -> None:
        """A virtual owner that nobody names any more need not be remembered."""
        if item.virtual and not item.dependents:
            self.items.pop(item.uid, None)
