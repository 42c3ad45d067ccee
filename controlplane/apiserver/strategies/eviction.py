"""pods/eviction: a deletion that a PodDisruptionBudget may refuse (pkg/registry/core/pod/storage/eviction.go)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PODDISRUPTIONBUDGETS
from apimachinery.meta import labels, pods, status, times
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.delete import delete_object, delete_options
from controlplane.apiserver.registry.registry import Registry

Object = dict[str, Any]

_REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."


async def evict(registry: Registry, collection: Collection, call: Call, document: Any) -> Object:
    """Delete the pod if its budget allows. Raises ApiError 404, 429 (not now), 500 (more than one budget)."""
    eviction = read(call, document, "policy", "v1", "Eviction")
    name = eviction["metadata"].get("name")
    if name and name != call.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    await collection.admission.admit(call, eviction, ("policy", "v1", "Eviction"))
    pod = await collection.store.get(call.namespace, call.name)
    options = delete_options(eviction.get("deleteOptions") or {}, {})
    if not (pods.is_terminal(pod) or pods.phase(pod) == "Pending" or pod["metadata"].get("deletionTimestamp")):
        await _spend(registry, call, pod)
    await delete_object(collection, call, call.name, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def _spend(registry: Registry, call: Call, pod: Object) -> None:
    """Count the disruption against the pod's budget, in the budget's status. Raises ApiError 429, 500."""
    budgets = registry.of(PODDISRUPTIONBUDGETS)
    found = [
        budget
        for budget in await budgets.store.all(call.namespace)
        if labels.from_label_selector((budget.get("spec") or {}).get("selector")).matches(
            pod["metadata"].get("labels") or {}
        )
    ]
    if not found:
        return
    if len(found) > 1:
        raise status.internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    name = found[0]["metadata"]["name"]

    async def change(budget: Object) -> Object:
        state = dict(budget.get("status") or {})
        if (state.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
            raise status.too_many_requests(_REFUSAL, 10)
        if (state.get("disruptionsAllowed") or 0) <= 0:
            cause = {
                "reason": "DisruptionBudget",
                "message": f"The disruption budget {name} needs {state.get('desiredHealthy', 0)} healthy pods and has "
                f"{state.get('currentHealthy', 0)} currently",
            }
            raise status.ApiError(429, "TooManyRequests", _REFUSAL, {"causes": [cause]})
        state["disruptionsAllowed"] -= 1
        disrupted = {**(state.get("disruptedPods") or {})}
        disrupted[pod["metadata"]["name"]] = times.rfc3339(budgets.clock.now())
        return {**budget, "status": {**state, "disruptedPods": disrupted}}

    if not call.dry_run:
        await budgets.store.modify(call.namespace, name, change)
