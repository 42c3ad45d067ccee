"""Pods: phase, QoS class, graceful deletion, binding (pkg/registry/core/pod)."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.api import validation
from apimachinery.meta import status
from apimachinery.meta.paths import Path, Problem, not_supported, required
from apimachinery.meta.pod_resources import qos_class
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep
from controlplane.apiserver.strategies.pod_fields import settle_affinity, settle_times, sync_profiles, with_condition
from controlplane.apiserver.strategies.pod_resize import prepare_resize, settle_resize_policies


class PodStrategy(Strategy):
    """`pods`."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        try:
            qos = qos_class(obj)
        except ValueError:
            qos = "BestEffort"  # validation tells of the malformed quantity
        obj["status"] = {"phase": "Pending", "qosClass": qos}
        if self.resource.subresource("resize") is not None:
            settle_resize_policies(obj)
        settle_affinity(obj)
        sync_profiles(call, obj)
        if (obj.get("spec") or {}).get("schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]
            settle_times(obj["status"])

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "spec")
        for field in ("ownerReferences", "deletionTimestamp"):
            keep(new["metadata"], old["metadata"], field)
        status_ = new.setdefault("status", {})
        qos = (old.get("status") or {}).get("qosClass")
        if qos and not status_.get("qosClass"):
            status_["qosClass"] = qos
        settle_times(status_)

    def prepare_subresource(self, call: Call, new: Object, old: Object) -> None:
        """ephemeralcontainers: everything but them is the old pod's. resize: but the resources of containers."""
        if call.subresource == "resize":
            prepare_resize(new, old)
            return
        wanted = (new.get("spec") or {}).get("ephemeralContainers")
        meta = new["metadata"]
        new.clear()
        new.update(old)
        new["metadata"] = {**old["metadata"], "resourceVersion": meta.get("resourceVersion", "")}
        new["spec"] = dict(old["spec"])
        if wanted:
            new["spec"]["ephemeralContainers"] = wanted

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        if call.subresource == "ephemeralcontainers":
            return validation.validate_ephemeral_containers_update(new, old)
        if call.subresource == "resize":
            return validation.validate_pod_resize(new, old)
        return super().validate_update(call, new, old)

    def grace(self, obj: Object, asked: int | None) -> int | None:
        spec = obj.get("spec") or {}
        seconds = asked if asked is not None else spec.get("terminationGracePeriodSeconds", 30)
        phase = (obj.get("status") or {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0  # no node agent has anything to stop
        return int(seconds) if seconds >= 0 else 1

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec, state = obj.get("spec") or {}, obj.get("status") or {}
        ips = state.get("podIPs") or []
        return {
            **super().fields(obj),
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": state.get("phase") or "",
            "status.podIP": ips[0].get("ip", "") if ips else "",
            "status.nominatedNodeName": state.get("nominatedNodeName") or "",
        }


def bound(pod: Object, binding: Object, now: str) -> Object:
    """The pod with the node of a Binding; a new dict. Raises ApiError 409, 422 as upstream's assignPod."""
    meta = pod["metadata"]
    target = binding.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        problem = not_supported(Path("target").child("kind"), target["kind"], ["Node", "<empty>"])
        raise status.invalid("Binding", meta["name"], [problem])
    if not target.get("name"):
        raise status.invalid("Binding", meta["name"], [required(Path("target").child("name"))])
    asked = binding.get("metadata") or {}
    for word, field in (("UID", "uid"), ("ResourceVersion", "resourceVersion")):
        want, have = asked.get(field), meta.get(field)
        if want and want != have:
            detail = f"Precondition failed: {word} in precondition: {want}, {word} in object meta: {have}"
            raise _conflict(meta["name"], detail)
    spec = pod["spec"]
    if meta.get("deletionTimestamp"):
        raise _conflict(meta["name"], f"pod {meta['name']} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(meta["name"], f'pod {meta["name"]} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _conflict(meta["name"], f"pod {meta['name']} has non-empty .spec.schedulingGates")
    before = (pod.get("status") or {}).get("conditions") or []
    conditions = with_condition(before, {"type": "PodScheduled", "status": "True"}, now)
    metadata = dict(meta)
    if annotations := asked.get("annotations"):
        metadata["annotations"] = {**(meta.get("annotations") or {}), **annotations}
    return {
        **pod,
        "metadata": metadata,
        "spec": {**spec, "nodeName": target["name"]},
        "status": {**(pod.get("status") or {}), "conditions": conditions},
    }


def _conflict(name: str, detail: str) -> status.ApiError:
    return status.conflict("pods/binding", name, detail)
