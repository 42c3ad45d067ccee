"""Claims, and the pods that use them: what every controller of volumes begins with."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PODS
from apimachinery.cache.informer import Informer
from apimachinery.meta import objects
from controlplane.controllers.context import Context
from controlplane.controllers.protection_plan import claims_of

Object = dict[str, Any]

BY_CLAIM = "claim"


def claims_and_users(context: Context) -> tuple[Informer, Informer]:
    """The shared informers of claims and of pods; pods are found by the key of a claim (index BY_CLAIM)."""
    claims, all_pods = context.informer(PERSISTENTVOLUMECLAIMS), context.informer(PODS)
    all_pods.lister.add_index(BY_CLAIM, claim_keys)
    return claims, all_pods


def claim_keys(pod: Object) -> list[str]:
    """The keys of the claims that a pod uses: an index function."""
    return [f"{objects.namespace(pod)}/{name}" for name in claims_of(pod)]
