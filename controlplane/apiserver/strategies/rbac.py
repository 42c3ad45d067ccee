"""RBAC kinds: nobody grants more than they hold (pkg/registry/rbac/*/policybased)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.rbac import PolicyIndex
from controlplane.apiserver.authz.rules import describe, uncovered
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy

_GROUP = "rbac.authorization.k8s.io"


class RBACStrategy(Strategy):
    """`roles`, `clusterroles`, `rolebindings`, `clusterrolebindings`."""

    def __init__(self, resource: Resource, policy: PolicyIndex, *, enforced: bool) -> None:
        super().__init__(resource)
        self._policy, self._enforced = policy, enforced

    async def authorize(self, call: Call, new: Object, old: Object | None) -> None:
        if not self._enforced or MASTERS in call.user.groups:
            return
        is_binding = "roleRef" in new
        field = ("roleRef", "subjects") if is_binding else ("rules", "aggregationRule")
        if old is not None and all(new.get(each) == old.get(each) for each in field):
            return
        namespace, name = call.namespace, new["metadata"]["name"]
        if is_binding:
            reference = new["roleRef"]
            plural = "roles" if reference.get("kind") == "Role" else "clusterroles"
            if await call.allowed("bind", _GROUP, plural, namespace=namespace, name=str(reference.get("name"))):
                return
            wanted = self._policy.role_rules(reference, namespace)
            if wanted is None:
                raise status.not_found(f"{plural}.{_GROUP}", str(reference.get("name")))
        else:
            if await call.allowed("escalate", _GROUP, self.resource.plural, namespace=namespace, name=name):
                return
            wanted = new.get("rules") or []
        self._check(call, name, wanted)

    def _check(self, call: Call, name: str, wanted: list[Any]) -> None:
        held = [rule for rule, _ in self._policy.rules_for(call.user, call.namespace)]
        missing = uncovered(held, wanted)
        if missing:
            groups = " ".join(f'"{group}"' for group in call.user.groups)
            detail = (
                f'user "{call.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently '
                "held:\n" + "\n".join(describe(rule) for rule in missing)
            )
            raise status.forbidden(self.resource, name, detail)
