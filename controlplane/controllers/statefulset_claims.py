"""Who owns the claims of a StatefulSet, so that they go with it, or with a pod too many, or never (KEP-1847). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import PODS, STATEFULSETS
from apimachinery.controller.owners import controller_of, owner_reference
from apimachinery.meta import objects
from controlplane.controllers.statefulset_plan import claim_name, ordinal, wanted_ordinals

Object = dict[str, Any]
_Name = tuple[str, str, str]


def claim_names(stateful_set: Object, number: int) -> list[str]:
    """The names of an ordinal's claims."""
    return [claim_name(template, stateful_set, number) for template in templates(stateful_set)]


def claim_prefix(stateful_set: Object, template: Object) -> str:
    """What the names of all claims of a template begin with."""
    return f"{objects.name(template)}-{objects.name(stateful_set)}-"


def templates(stateful_set: Object) -> Iterable[Object]:
    """The claim templates."""
    found: Iterable[Object] = stateful_set["spec"].get("volumeClaimTemplates") or ()
    return found


def plan_owners(stateful_set: Object, pod: Object, claim: Object) -> list[Object] | None:
    """Return the owner references to write on a claim of the pod, or None when they are right.

    A claim whose set deletes when scaled down belongs to the pod as soon as that is one too many: the garbage collector
    does the rest. One of an earlier set or pod of the same name is left to that; one that has another controller gets
    none of ours, and loses what it has of them.
    """
    current: list[Object] = list(claim["metadata"].get("ownerReferences") or ())
    number = ordinal(stateful_set, pod)
    by_name = {_pod(stateful_set, number): objects.uid(pod), _set(stateful_set): objects.uid(stateful_set)}
    ours = [each for each in current if _names(each) in by_name]
    if any(each.get("uid") != by_name[_names(each)] for each in ours):
        return None
    wanted: Object | None = None
    if has_other_controller(stateful_set, number, claim):
        pass
    elif _deletes(stateful_set, "whenScaled") and number not in wanted_ordinals(stateful_set):
        wanted = owner_reference(pod, PODS)
    elif _deletes(stateful_set, "whenDeleted"):
        wanted = owner_reference(stateful_set, STATEFULSETS)
    if ours == ([wanted] if wanted else []):
        return None
    return [*(each for each in current if each not in ours), *([wanted] if wanted else [])]


def has_other_controller(stateful_set: Object, number: int, claim: Object) -> bool:
    """Whether somebody else controls a claim that the set's policy would delete, which the policy then leaves alone."""
    if not _deletes(stateful_set, "whenScaled") and not _deletes(stateful_set, "whenDeleted"):
        return False
    controller = controller_of(claim)
    return controller is not None and _names(controller) not in (_pod(stateful_set, number), _set(stateful_set))


def is_stale(stateful_set: Object, number: int, claim: Object) -> bool:
    """Whether the claim goes with a pod that was one too many: a new pod of the ordinal waits for a new claim."""
    pod, owners = _pod(stateful_set, number), claim["metadata"].get("ownerReferences") or ()
    return _deletes(stateful_set, "whenScaled") and any(_names(each) == pod for each in owners)


def _deletes(stateful_set: Object, when: str) -> bool:
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return bool(policy.get(when) == "Delete")


def _pod(stateful_set: Object, number: int) -> _Name:
    return PODS.api_version, PODS.kind, f"{objects.name(stateful_set)}-{number}"


def _set(stateful_set: Object) -> _Name:
    return STATEFULSETS.api_version, STATEFULSETS.kind, objects.name(stateful_set)


def _names(reference: Object) -> _Name:
    return reference.get("apiVersion", ""), reference.get("kind", ""), reference.get("name", "")
