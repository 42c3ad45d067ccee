"""Which objects of a collection a request means: its label and field selectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import fields, labels, status
from controlplane.apiserver.registry.collection import Attributes
from controlplane.apiserver.storage.cache_entries import Entry
from controlplane.apiserver.strategies.base import Strategy


@dataclass(frozen=True, slots=True)
class Selection:
    """Both selectors must match."""

    labels: labels.Selector
    fields: fields.Selector

    @property
    def everything(self) -> bool:
        """True when no object is left out."""
        return self.labels.empty and self.fields.empty

    def matches(self, attributes: Attributes) -> bool:
        found, values = attributes
        return self.labels.matches(found) and self.fields.matches(values)

    def selects(self) -> Any:
        """The same as the watch cache wants it: None for everything."""
        return None if self.everything else self._entry

    def _entry(self, entry: Entry[Attributes]) -> bool:
        return self.matches(entry.attributes)


def selection(strategy: Strategy, resource: Resource, query: Mapping[str, str], name: str = "") -> Selection:
    """The selection that a query spells in the words of `resource`, a version of the strategy's. name: the one that the
    path or the field selector pins. Raises ApiError 400 for a malformed one or an unknown field."""
    try:
        wanted = labels.parse_selector(query.get("labelSelector", ""))
        terms = fields.parse_selector(query.get("fieldSelector", "")).terms
        pinned = fields.Selector(
            tuple(fields.Term(strategy.field_label(resource, t.field), t.operator, t.value) for t in terms)
        )
    except ValueError as error:
        raise status.bad_request(str(error)) from None
    if name and pinned.requires("metadata.name") != name:
        if terms:
            raise status.bad_request("fieldSelector metadata.name doesn't match requested name")
        pinned = fields.Selector((fields.Term("metadata.name", "=", name),))
    return Selection(wanted, pinned)
