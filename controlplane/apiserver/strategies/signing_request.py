"""`certificatesigningrequests`: say who asked; approval and status are subresources (pkg/registry/certificates)."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.api.catalogue import Resource
from apimachinery.meta import times
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Now, Object, Strategy, keep


class SigningRequestStrategy(Strategy):
    """What a request says of its asker is the server's word, and the times of its conditions are."""

    def __init__(self, resource: Resource, now: Now) -> None:
        super().__init__(resource)
        self._now = now

    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        spec = obj.setdefault("spec", {})
        for field in ("uid", "extra", "groups"):
            spec.pop(field, None)
        user = call.user
        spec["username"] = user.name
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.uid:
            spec["uid"] = user.uid
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "spec")
        keep(new, old, "status")

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_status(call, new, old)
        keep(new, old, "spec")
        for kind in ("Approved", "Denied"):
            _keep_verdict(new, old, kind)
        _date(new, old, times.rfc3339(self._now()))

    def prepare_subresource(self, call: Call, new: Object, old: Object) -> None:
        """approval: the conditions, and nothing else."""
        keep(new, old, "spec")
        new["status"] = {**(new.get("status") or {})}
        keep(new["status"], old.get("status") or {}, "certificate")
        _date(new, old, times.rfc3339(self._now()))

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {**super().fields(obj), "spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


def _keep_verdict(new: Object, old: Object, kind: str) -> None:
    """The status says nothing else of a verdict than the approval did (preserveConditionInstances). One that comes or
    goes is left for validation, which refuses it."""
    conditions, before = ((each.get("status") or {}).get("conditions") or [] for each in (new, old))
    held = [each for each in before if each.get("type") == kind]
    if held and len(held) == sum(each.get("type") == kind for each in conditions):
        kept = iter(held)
        conditions = [next(kept) if each.get("type") == kind else each for each in conditions]
        new["status"] = {**new["status"], "conditions": conditions}


def _date(new: Object, old: Object, now: str) -> None:
    """Conditions say when they were written and when they last turned (populateConditionTimestamps)."""
    status = new.get("status") or {}
    if not status.get("conditions"):
        return
    held = {each.get("type"): each for each in (old.get("status") or {}).get("conditions") or ()}
    dated = []
    for each in status["conditions"]:
        before = held.get(each.get("type"))
        turned = before.get("lastTransitionTime") if before and before.get("status") == each.get("status") else None
        dated.append(
            {
                **each,
                "lastUpdateTime": each.get("lastUpdateTime") or now,
                "lastTransitionTime": each.get("lastTransitionTime") or turned or now,
            }
        )
    new["status"] = {**status, "conditions": dated}
