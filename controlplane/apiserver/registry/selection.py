"""Which objects of a collection a request means: its label and field selectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


def selection(strategy: Strategy, query: Mapping[str, str]) -> Selection:
    """The selection that a query spells. Raises ApiError 400 for a malformed one or an unknown field."""
    try:
        wanted = labels.parse_selector(query.get("labelSelector", ""))
        pinned = fields.parse_selector(query.get("fieldSelector", ""))
    except ValueError as error:
        raise status.bad_request(str(error)) from None
    known = strategy.field_names()
    for term in pinned.terms:
        if term.field not in known:
            raise status.bad_request(f"field label not supported: {term.field}")
    return Selection(wanted, pinned)
