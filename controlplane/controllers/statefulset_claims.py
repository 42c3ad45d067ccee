"""Who owns the claims of a StatefulSet, so that they go with it, or with a pod too many, or never (KEP-1847). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import PODS, STATEFULSETS
from apimachinery.controller.owners import owner_reference
from apimachinery.meta import objects
from controlplane.controllers.statefulset_plan import claim_name, ordinal, wanted_ordinals

Object = dict[str, Any]


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
    does the rest.
    """
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    surplus = ordinal(stateful_set, pod) not in wanted_ordinals(stateful_set)
    current: list[Object] = list(claim["metadata"].get("ownerReferences") or ())
    wanted: Object | None = None
    if policy.get("whenScaled") == "Delete" and surplus:
        wanted = owner_reference(pod, PODS)
    elif policy.get("whenDeleted") == "Delete":
        wanted = owner_reference(stateful_set, STATEFULSETS)
    ours = {objects.uid(pod), objects.uid(stateful_set)}
    if [each for each in current if each.get("uid") in ours] == ([wanted] if wanted else []):
        return None
    return [*(each for each in current if each.get("uid") not in ours), *([wanted] if wanted else [])]


def is_leaving(claim: Object) -> bool:
    """Whether the claim goes with a pod that was one too many: a new pod of the ordinal waits for a new claim."""
    owners = claim["metadata"].get("ownerReferences") or ()
    return objects.is_deleting(claim) or any(each.get("kind") == PODS.kind for each in owners)
