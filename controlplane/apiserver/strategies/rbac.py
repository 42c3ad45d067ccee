"""RBAC kinds: nobody grants more than they hold (pkg/registry/rbac/*/policybased)."""

from __future__ import annotations

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.policy import GROUP
from controlplane.apiserver.authz.rbac import PolicyIndex
from controlplane.apiserver.authz.rules import Rule, compact, describe, uncovered
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy

_EVERYTHING: list[Rule] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]
# What the garbage collector and its kind may change about a role that grants more than they hold.
_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


class RBACStrategy(Strategy):
    """`roles`, `clusterroles`, `rolebindings`, `clusterrolebindings`."""

    def __init__(self, resource: Resource, policy: PolicyIndex, *, enforced: bool) -> None:
        super().__init__(resource)
        self._policy, self._enforced = policy, enforced

    async def authorize(self, call: Call, new: Object, old: Object | None) -> None:
        if not self._enforced or MASTERS in call.user.groups:
            return
        if old is not None and _collected_only(new, old):
            return
        if "roleRef" in new:
            await self._authorize_binding(call, new)
        elif not await call.allowed("escalate", GROUP, self.resource.plural, namespace=call.namespace, name=call.name):
            self._confirm(call, new, new.get("rules") or [])
            aggregates = new.get("aggregationRule") or (old or {}).get("aggregationRule")
            # It can gather anything, and it keeps what it gathered from being taken away.
            if aggregates and self._lacking(call, _EVERYTHING):
                sentence = "must have cluster-admin privileges to use the aggregationRule"
                raise status.forbidden(self.resource, new["metadata"]["name"], sentence)

    async def _authorize_binding(self, call: Call, binding: Object) -> None:
        reference = binding["roleRef"]
        plural, name = "roles" if reference.get("kind") == "Role" else "clusterroles", str(reference.get("name"))
        if await call.allowed("bind", GROUP, plural, namespace=call.namespace, name=name):
            return
        rules = self._policy.role_rules(reference, call.namespace)
        if rules is None:
            raise status.not_found(f"{plural}.{GROUP}", name)
        self._confirm(call, binding, rules)

    def _lacking(self, call: Call, wanted: list[Rule]) -> list[Rule]:
        return uncovered([rule for rule, _ in self._policy.rules_for(call.user, call.namespace)], wanted)

    def _confirm(self, call: Call, obj: Object, wanted: list[Rule]) -> None:
        lacking = self._lacking(call, wanted)
        if lacking:
            groups = " ".join(f'"{group}"' for group in call.user.groups)
            told = sorted({describe(rule) for rule in compact(lacking)})
            detail = (
                f'user "{call.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently '
                "held:\n" + "\n".join(told)
            )
            if missing := self._policy.missing_roles(call.user, call.namespace):
                # The registry is asked here, which names resources; the authorizer names kinds.
                unknown = aggregate(f'{kind.lower()}s.{GROUP} "{name}" not found' for kind, name in missing)
                detail += f"; resolution errors: [{unknown}]"
            raise status.forbidden(self.resource, obj["metadata"]["name"], detail)


def _collected_only(new: Object, old: Object) -> bool:
    """Whether nothing changed but what the garbage collector needs (IsOnlyMutatingGCFields)."""

    def rest(obj: Object) -> Object:
        metadata = {key: value for key, value in obj["metadata"].items() if key not in _COLLECTED}
        return {**obj, "metadata": metadata}

    return rest(new) == rest(old)
