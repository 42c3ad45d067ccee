"""Kinds with a small peculiarity each."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping

from apimachinery.api import validation
from apimachinery.api.validation.checks import same
from apimachinery.meta.paths import Problem
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep


class NodeStrategy(Strategy):
    """`nodes`: a node agent registers its node with a status."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        pass

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "spec")

    def fields(self, obj: Object) -> Mapping[str, str]:
        unschedulable = (obj.get("spec") or {}).get("unschedulable")
        return {**super().fields(obj), "spec.unschedulable": "true" if unschedulable else "false"}


class SecretStrategy(Strategy):
    """`secrets`: stringData is written, never read (conversion folds it; a type may be selected by)."""

    def take_in(self, obj: Object) -> None:
        _fold(obj)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        _fold(new)
        if not new.get("type"):
            keep(new, old, "type")

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "type": obj.get("type") or ""}


def _fold(obj: Object) -> None:
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


_EMPTY_EVENT: Object = {
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


class EventStrategy(Strategy):
    """`events` (of both groups): forgotten after --event-ttl."""

    def __init__(self, *arguments: object, ttl: float) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._ttl = max(1, round(ttl))

    def prepare_create(self, call: Call, obj: Object) -> None:
        # As Go writes an Event: fields that are no pointers are always there.
        for field, empty in _EMPTY_EVENT.items():
            obj.setdefault(field, dict(empty) if isinstance(empty, dict) else empty)

    def validate_create(self, call: Call, obj: Object) -> list[Problem]:
        return validation.validate_event_create(obj, new_style=call.resource.group != "")

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        return validation.validate_event_update(new, old, new_style=call.resource.group != "")

    def ttl(self, obj: Object) -> int | None:
        return self._ttl

    def fields(self, obj: Object) -> Mapping[str, str]:
        about = obj.get("involvedObject") or {}
        source = obj.get("source") or {}
        named = {
            f"involvedObject.{field}": str(about.get(field) or "")
            for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        }
        return {
            **super().fields(obj),
            **named,
            "reason": obj.get("reason") or "",
            "reportingComponent": obj.get("reportingComponent") or "",
            "source": source.get("component") or obj.get("reportingComponent") or "",
            "type": obj.get("type") or "",
        }


class ServiceAccountStrategy(Strategy):
    """`serviceaccounts`: the secrets it may use are named, nothing else is said of them."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        _names_only(obj)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        _names_only(new)


def _names_only(obj: Object) -> None:
    if obj.get("secrets"):
        obj["secrets"] = [{"name": each["name"]} if each.get("name") else {} for each in obj["secrets"]]


class LimitRangeStrategy(Strategy):
    """`limitranges`: one without a name gets some name."""

    def unnamed(self) -> str:
        return str(uuid.uuid4())


class EndpointSliceStrategy(Strategy):
    """`endpointslices`: labels count as a change; what v1 may not write of the topology is dropped."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        _no_topology(obj)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        if not same(new.get("endpoints"), old.get("endpoints")):
            _no_topology(new)

    def spec_changed(self, new: Object, old: Object) -> bool:
        labels = (each["metadata"].get("labels") for each in (new, old))
        return super().spec_changed(new, old) or not same(*labels)


def _no_topology(obj: Object) -> None:
    for endpoint in obj.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


class DriverStrategy(Strategy):
    """`csidrivers`: generations count from the first change."""

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        if self.spec_changed(new, old):
            new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


class PriorityClassStrategy(Strategy):
    """`priorityclasses`: born with a generation that never goes up."""

    def spec_changed(self, new: Object, old: Object) -> bool:
        return False


_COORDINATED = ("strategy", "preferredHolder")


class LeaseStrategy(Strategy):
    """`leases`: coordinated leader election (KEP-4355) is off by default; what asks for it is dropped."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        _uncoordinated(obj, {})

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        _uncoordinated(new, old)


def _uncoordinated(new: Object, old: Object) -> None:
    spec, held = new.get("spec") or {}, old.get("spec") or {}
    dropped = [field for field in _COORDINATED if field in spec and held.get(field) is None]
    if dropped:
        new["spec"] = {field: value for field, value in spec.items() if field not in dropped}
