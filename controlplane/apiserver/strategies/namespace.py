"""Namespaces: the `kubernetes` finalizer, the phase, and an end that comes by the finalize subresource."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.meta import status
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceStrategy(Strategy):
    """`namespaces`."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["status"] = {"phase": "Active"}
        spec = obj.setdefault("spec", {})
        if FINALIZER not in (spec.get("finalizers") or []):
            spec["finalizers"] = [*(spec.get("finalizers") or []), FINALIZER]
        _label(obj)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "status")
        keep(new, old, "spec")
        _label(new)

    def prepare_subresource(self, call: Call, new: Object, old: Object) -> None:
        """finalize: only spec.finalizers change."""
        keep(new, old, "status")

    def check_delete(self, call: Call, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if name in IMMORTAL:
            raise status.forbidden(self.resource, name, "this namespace may not be deleted")

    def held(self, obj: Object) -> bool:
        return super().held(obj) or bool((obj.get("spec") or {}).get("finalizers"))

    def ending(self, obj: Object) -> Object:
        # What a namespace waits for is not measured in seconds.
        meta = {key: value for key, value in obj["metadata"].items() if key != "deletionGracePeriodSeconds"}
        return {**obj, "metadata": meta, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {
            **super().fields(obj),
            "name": obj["metadata"]["name"],
            "status.phase": (obj.get("status") or {}).get("phase") or "",
        }


def _label(obj: Object) -> None:
    meta = obj["metadata"]
    meta["labels"] = {**(meta.get("labels") or {}), NAME_LABEL: meta["name"]}
