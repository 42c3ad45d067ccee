"""Which objects of a collection a request means: its label and field selectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import fields, labels, status
from controlplane.apiserver.registry.collection import FIELD, LABEL, Attributes
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.storage.cache_entries import Entry
from controlplane.apiserver.storage.cache_watch import Pin
from controlplane.apiserver.strategies.base import Strategy

_ONE_VALUE = (labels.IN, labels.EQUALS, labels.DOUBLE_EQUALS)
_METADATA = "metadata."


@dataclass(frozen=True, slots=True)
class Made:
    """Fields of what conversion makes of objects in the version of `resource`; see `narrowing`."""

    resource: DefinedResource
    fields: fields.Selector

    def matches(self, entry: Entry[Attributes]) -> bool:
        """entry: in that version."""
        return self.fields.matches(entry.attributes[1])


@dataclass(frozen=True, slots=True)
class Selection:
    """All selectors must match: `labels` and `fields` an object as it is stored, `made` as it is converted."""

    labels: labels.Selector
    fields: fields.Selector
    made: Made | None = None

    @property
    def everything(self) -> bool:
        """True when no object is left out."""
        return self.labels.empty and self.fields.empty and self.made is None

    def matches(self, attributes: Attributes) -> bool:
        """Of an object as it is stored; `made` apart."""
        found, values = attributes
        return self.labels.matches(found) and self.fields.matches(values)

    @property
    def pin(self) -> Pin | None:
        """One attribute that must have one value, for the watch cache to look it up by; None when there is none."""
        for term in self.fields.terms:
            if term.operator == "=":
                return f"{FIELD}:{term.field}", term.value
        for requirement in self.labels.requirements:
            if requirement.operator in _ONE_VALUE and len(requirement.values) == 1:
                return f"{LABEL}:{requirement.key}", requirement.values[0]
        return None

    def selects(self) -> Any:
        """The same as the watch cache wants it: None for everything. `made` apart."""
        return None if self.labels.empty and self.fields.empty else self._entry

    def _entry(self, entry: Entry[Attributes]) -> bool:
        return self.matches(entry.attributes)


def selection(strategy: Strategy, resource: Resource, query: Mapping[str, str], name: str = "") -> Selection:
    """The selection that a query spells in the words of `resource`, a version of the strategy's. name: the one that the
    path or the field selector pins. Raises ApiError 400 for a malformed one or an unknown field."""
    try:
        wanted = labels.parse_selector(query.get("labelSelector", ""))
        terms = fields.parse_selector(query.get("fieldSelector", "")).terms
        named = tuple(fields.Term(strategy.field_label(resource, t.field), t.operator, t.value) for t in terms)
    except ValueError as error:
        raise status.bad_request(str(error)) from None
    made = None
    if named and isinstance(resource, DefinedResource) and not resource.rules.selects_as_stored:
        stored = tuple(term for term in named if term.field.startswith(_METADATA))
        if stored != named:
            made = Made(resource, fields.Selector(tuple(term for term in named if term not in stored)))
            named = stored
    pinned = fields.Selector(named)
    if name and pinned.requires("metadata.name") != name:
        if terms:
            raise status.bad_request("fieldSelector metadata.name doesn't match requested name")
        pinned = fields.Selector((fields.Term("metadata.name", "=", name),))
    return Selection(wanted, pinned, made)
