"""OwnerReferencesPermissionEnforcement: an owner is set by those who may delete the object, and blocks deletion only
for those who may touch the owner's finalizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import Resource
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.authz.attributes import Attributes, Decision

Object = dict[str, Any]


class OwnerReferencesPermissionEnforcement(Plugin):
    """plugin/pkg/admission/gc. `by_kind`: the resource of an apiVersion and kind."""

    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, by_kind: Callable[[str, str], Resource | None]) -> None:
        self._by_kind = by_kind

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or review.is_for("", "pods", "status"):
            return
        new, old = _owners(review.new), _owners(review.old)
        if new == old:
            return
        resource, call = review.resource, review.call
        allowed, reason = await self._may(
            review, "delete", resource.group, resource.plural, review.name, call.subresource
        )
        if not allowed:
            raise review.forbidden(f"cannot set an ownerRef on a resource you can't delete: {reason}, <nil>")
        blocking = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
        for owner in new:
            if not owner.get("blockOwnerDeletion") or owner.get("uid") in blocking:
                continue
            version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
            found = self._by_kind(version, kind)
            if found is None:
                raise review.forbidden(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                    f'{version} Kind {kind}: no matches for kind "{kind}" in version "{version}"'
                )
            allowed, reason = await self._may(
                review, "update", found.group, found.plural, owner.get("name") or "", "finalizers",
                namespaced=found.namespaced,
            )  # fmt: skip
            if not allowed:
                raise review.forbidden(
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers "
                    f"on: {reason}, <nil>"
                )

    async def _may(
        self,
        review: Review,
        verb: str,
        group: str,
        plural: str,
        name: str,
        subresource: str,
        *,
        namespaced: bool = True,
    ) -> tuple[bool, str]:
        namespace = review.call.namespace if namespaced else ""
        decision, reason = await review.call.authorize(
            Attributes(review.call.user, verb, group, "*", plural, subresource, namespace, name)
        )
        return decision is Decision.ALLOW, reason


def _owners(obj: Object | None) -> list[Object]:
    return list(((obj or {}).get("metadata") or {}).get("ownerReferences") or ())
