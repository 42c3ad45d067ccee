"""Controllers of pods: generations, the selector of a Job, the template's number of a DaemonSet (pkg/registry/apps)."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.api.validation.checks import same
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class DeploymentStrategy(Strategy):
    """`deployments`: annotations count as a change, since they are handed on to ReplicaSets."""

    def spec_changed(self, new: Object, old: Object) -> bool:
        annotations = (each["metadata"].get("annotations") for each in (new, old))
        return super().spec_changed(new, old) or not same(*annotations)

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_status(call, new, old)
        keep(new["metadata"], old["metadata"], "labels")


class DaemonSetStrategy(Strategy):
    """`daemonsets`: an annotation counts the templates there have been, as old clients expect."""

    def take_in(self, obj: Object) -> None:
        _count(obj, _template_generation(obj))

    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        _count(obj, max(_template_generation(obj), 1))

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_update(call, new, old)
        changed = not same((new.get("spec") or {}).get("template"), (old.get("spec") or {}).get("template"))
        _count(new, _template_generation(old) + changed)


def _template_generation(obj: Object) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _count(obj: Object, number: int) -> None:
    meta = obj["metadata"]
    meta["annotations"] = {**(meta.get("annotations") or {}), _TEMPLATE_GENERATION: str(number)}


class ReplicaSetStrategy(Strategy):
    """`replicasets`, `replicationcontrollers`."""

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


class JobStrategy(Strategy):
    """`jobs`: the server makes the selector and the labels it selects, unless spec.manualSelector."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        spec, meta = obj["spec"], obj["metadata"]
        if spec.get("manualSelector"):
            return
        template = spec.setdefault("template", {}).setdefault("metadata", {})
        uid, name = meta["uid"], meta["name"]
        # Labels that are there already and say something else are refused by validation.
        template["labels"] = {
            "batch.kubernetes.io/job-name": name,
            "job-name": name,
            "controller-uid": uid,
            "batch.kubernetes.io/controller-uid": uid,
            **(template.get("labels") or {}),
        }
        selector = spec.get("selector") or {}
        matched = selector.get("matchLabels") or {}
        spec["selector"] = {**selector, "matchLabels": {"batch.kubernetes.io/controller-uid": uid, **matched}}
        if not meta.get("labels"):  # upstream's defaulting, whenever a Job is read from the store
            meta["labels"] = dict(template["labels"])

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}
