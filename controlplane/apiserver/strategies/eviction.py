"""pods/eviction: a deletion that a PodDisruptionBudget may refuse (pkg/registry/core/pod/storage/eviction.go).

The budget's status is spent by compare-and-set before the pod is deleted, so that two evictions never take the same
disruption; the pod says why it goes in its DisruptionTarget condition (KEP-3329).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from apimachinery.api.catalogue import PODDISRUPTIONBUDGETS, PODS
from apimachinery.meta import disruptions, labels, pods, status, times
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.delete import DeleteOptions, check_preconditions, delete_object, delete_options
from controlplane.apiserver.registry.metadata import place_in_namespace
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.strategies.pod_fields import with_condition

Object = dict[str, Any]

MAX_DISRUPTED = 2000
"""How many approved evictions the controller may have left unseen."""
_BEFORE_V1 = "policy/v1beta1"
_ATTEMPTS = 20
_RETRY_AFTER = 10
_REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


async def evict(registry: Registry, collection: Collection, call: Call, document: Any) -> Object:
    """Delete the pod if its budget allows. Raises ApiError 404, 409, 429 (not now), 500 (more than one budget)."""
    if isinstance(document, dict) and document.get("apiVersion") == _BEFORE_V1:
        document = {**document, "apiVersion": "policy/v1"}  # the last that is left of that version, and the same
    eviction = read(call, document, "policy", "v1", "Eviction")
    place_in_namespace(call, eviction)
    if eviction["metadata"].get("name") != call.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    asked = eviction.get("deleteOptions") or {}
    call.dry_run = call.dry_run or bool(asked.get("dryRun"))
    await collection.admission.admit(call, eviction, ("policy", "v1", "Eviction"))
    options = delete_options(asked, {})
    pod = await _delete_unguarded(collection, call, options)
    if pod is not None:
        await _delete_guarded(registry, collection, call, pod, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def _delete_unguarded(collection: Collection, call: Call, options: DeleteOptions) -> Object | None:
    """Delete a pod that no budget guards because it does not run; otherwise return the pod."""
    for attempt in range(_ATTEMPTS):
        pod = await collection.store.get(call.namespace, call.name)
        over = pods.is_terminal(pod) or bool(pod["metadata"].get("deletionTimestamp"))
        if not over and pods.phase(pod) != "Pending":
            return pod
        # A pending pod may become ready meanwhile, and would be guarded then: delete the one we looked at.
        unguarded = over or options.resource_version is not None
        guard = {} if unguarded else {"resource_version": pod["metadata"]["resourceVersion"]}
        try:
            await _delete(collection, call, replace(options, **guard))
        except status.ApiError as error:
            if not status.is_conflict(error) or options.resource_version is not None or attempt == _ATTEMPTS - 1:
                raise
        else:
            return None
    raise AssertionError("the last attempt returns or raises")


async def _delete_guarded(
    registry: Registry, collection: Collection, call: Call, pod: Object, options: DeleteOptions
) -> None:
    found = await _budgets(registry, pod)
    if len(found) > 1:
        raise status.ApiError(500, "", _SEVERAL)
    if not found or not is_free(pod, found[0]):
        if found:
            await _spend(registry, call, found[0], pod)
        await _delete(collection, call, options)
        return
    # It takes nothing from the budget as long as it is not ready.
    guarded = options if options.resource_version is not None else _only(options, pod)
    try:
        await _delete(collection, call, guarded)
    except status.ApiError as error:
        if status.is_conflict(error) and options.resource_version is None:
            raise _being_processed(found[0]["metadata"]["name"]) from None
        raise


def _only(options: DeleteOptions, pod: Object) -> DeleteOptions:
    return replace(options, resource_version=pod["metadata"]["resourceVersion"])


async def _budgets(registry: Registry, pod: Object) -> list[Object]:
    found, mine = [], pod["metadata"].get("labels") or {}
    for budget in await registry.of(PODDISRUPTIONBUDGETS).store.all(pod["metadata"]["namespace"]):
        try:
            selector = labels.from_label_selector((budget.get("spec") or {}).get("selector"))
        except ValueError:
            continue  # it selects nothing
        if selector.matches(mine):
            found.append(budget)
    return found


def is_free(pod: Object, budget: Object) -> bool:
    """Whether a pod's end costs its budget nothing: not ready, and the application whole without it (KEP-3017)."""
    if pods.is_ready(pod):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    state = budget.get("status") or {}
    desired = int(state.get("desiredHealthy") or 0)
    return desired > 0 and int(state.get("currentHealthy") or 0) >= desired


async def _spend(registry: Registry, call: Call, budget: Object, pod: Object) -> None:
    """Count the disruption against the budget, in its status. Raises ApiError 403, 404, 429."""
    store, clock, name = registry.of(PODDISRUPTIONBUDGETS).store, registry.of(PODS).clock, pod["metadata"]["name"]

    async def change(current: Object) -> Object:
        return spent(current, name, clock.now())

    if call.dry_run:
        spent(budget, name, clock.now())
    else:
        await store.modify(pod["metadata"]["namespace"], budget["metadata"]["name"], change)


def spent(budget: Object, pod_name: str, now: datetime) -> Object:
    """Return the budget with one disruption less. Raises ApiError 403 (unsound status), 429 (none left, or unknown)."""
    name, state = budget["metadata"]["name"], budget.get("status") or {}
    if (state.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _being_processed(name)
    allowed, disrupted = int(state.get("disruptionsAllowed") or 0), state.get("disruptedPods") or {}
    if allowed < 0:
        raise status.forbidden("poddisruptionbudget.policy", name, "pdb disruptions allowed is negative")
    if len(disrupted) > MAX_DISRUPTED:
        detail = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise status.forbidden("poddisruptionbudget.policy", name, detail)
    if allowed == 0:
        raise _refusal(
            f"The disruption budget {name} needs {state.get('desiredHealthy') or 0} healthy pods and has "
            f"{state.get('currentHealthy') or 0} currently"
        )
    state = {**state, "disruptionsAllowed": allowed - 1, "disruptedPods": {**disrupted, pod_name: times.rfc3339(now)}}
    return {**budget, "status": disruptions.with_condition(state, now) if allowed == 1 else state}


def _being_processed(name: str) -> status.ApiError:
    return _refusal(f"The disruption budget {name} is still being processed by the server.", _RETRY_AFTER)


def _refusal(message: str, retry_after: int = 0) -> status.ApiError:
    refused = status.too_many_requests(_REFUSAL, retry_after)
    causes = [{"reason": "DisruptionBudget", "message": message}]
    return status.ApiError(429, refused.reason, refused.message, {**(refused.details or {}), "causes": causes})


async def _delete(collection: Collection, call: Call, options: DeleteOptions) -> None:
    """Mark the pod as a disruption's target, then delete it. Raises ApiError 404, 409."""

    async def mark(current: Object) -> Object:
        check_preconditions(PODS, current, options)
        return targeted(current, collection.clock.now())

    if not call.dry_run:
        marked = await collection.store.modify(call.namespace, call.name, mark)
        if options.resource_version is not None:
            options = replace(options, resource_version=marked["metadata"]["resourceVersion"])
    await delete_object(collection, call, call.name, options)


def targeted(pod: Object, now: datetime) -> Object:
    """Return the pod with the condition that says who ends it; the same pod when it says so already."""
    state = pod.get("status") or {}
    current = pods.condition(pod, "DisruptionTarget")
    wanted = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    if current is not None and all(current.get(field) == value for field, value in wanted.items()):
        return pod
    conditions = with_condition(state.get("conditions") or [], wanted, times.rfc3339(now))
    return {**pod, "status": {**state, "conditions": conditions}}
