"""Kinds with a small peculiarity each."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep


class NodeStrategy(Strategy):
    """`nodes`: a node agent registers its node with a status."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        pass

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "spec")
        keep(new["metadata"], old["metadata"], "ownerReferences")

    def fields(self, obj: Object) -> Mapping[str, str]:
        unschedulable = (obj.get("spec") or {}).get("unschedulable")
        return {**super().fields(obj), "spec.unschedulable": "true" if unschedulable else "false"}


class SecretStrategy(Strategy):
    """`secrets`: stringData is written, never read (defaulting folds it; a type may be selected by)."""

    def prepare_create(self, call: Call, obj: Object) -> None:
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


class EventStrategy(Strategy):
    """`events` (of both groups): forgotten after --event-ttl."""

    def __init__(self, *arguments: object, ttl: float) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._ttl = max(1, round(ttl))

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


class ReplicaSetStrategy(Strategy):
    """`replicasets`, `replicationcontrollers`."""

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


class JobStrategy(Strategy):
    """`jobs`: selected by their pods' controller uid (manualSelector aside)."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        spec, meta = obj["spec"], obj["metadata"]
        if spec.get("manualSelector"):
            return
        template = spec.setdefault("template", {}).setdefault("metadata", {})
        uid = meta["uid"]
        template["labels"] = {
            **(template.get("labels") or {}),
            "controller-uid": uid,
            "batch.kubernetes.io/controller-uid": uid,
            "job-name": meta["name"],
            "batch.kubernetes.io/job-name": meta["name"],
        }
        spec.setdefault("selector", {}).setdefault("matchLabels", {})["batch.kubernetes.io/controller-uid"] = uid

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


class VolumeStrategy(Strategy):
    """`persistentvolumes`, `persistentvolumeclaims`: born Pending."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["status"] = {"phase": "Pending"}


class SigningRequestStrategy(Strategy):
    """`certificatesigningrequests`: say who asked; approval and status are subresources."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        spec = obj.setdefault("spec", {})
        for field in ("uid", "extra"):
            spec.pop(field, None)
        user = call.user
        spec["username"], spec["groups"] = user.name, list(user.groups)
        if user.uid:
            spec["uid"] = user.uid
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "spec")
        keep(new, old, "status")

    def prepare_subresource(self, call: Call, new: Object, old: Object) -> None:
        """approval: the conditions, and nothing else."""
        keep(new, old, "spec")
        conditions = (new.get("status") or {}).get("conditions")
        keep(new, old, "status")
        if conditions is not None:
            new["status"] = {**(new.get("status") or {}), "conditions": conditions}

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}
