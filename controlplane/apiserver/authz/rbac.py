"""The RBAC authorizer: bindings name subjects and a role, roles hold rules (plugin/pkg/auth/authorizer/rbac)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.paths import aggregate
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.authz.policy import GROUP
from controlplane.apiserver.authz.rules import Rule, allows

Object = Mapping[str, Any]
_ACCOUNT = "system:serviceaccount:"


class PolicyIndex:
    """The roles and bindings there are, by what authorization looks them up with. Fed by `put` and `drop`."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], list[Rule]] = {}
        self._bindings: dict[tuple[str, str], Object] = {}
        self._by_subject: dict[tuple[str, str], list[tuple[str, Object]]] | None = None

    def put(self, obj: Object) -> None:
        """A Role, ClusterRole, RoleBinding or ClusterRoleBinding as it is now."""
        key = obj["metadata"].get("namespace") or "", obj["metadata"]["name"]
        if obj["kind"] in ("Role", "ClusterRole"):
            self._roles[key] = obj.get("rules") or []
        else:
            self._bindings[key] = obj
            self._by_subject = None

    def drop(self, obj: Object) -> None:
        """It is gone."""
        key = obj["metadata"].get("namespace") or "", obj["metadata"]["name"]
        if obj["kind"] in ("Role", "ClusterRole"):
            self._roles.pop(key, None)
        else:
            self._bindings.pop(key, None)
            self._by_subject = None

    def role_rules(self, reference: Object, namespace: str) -> list[Rule] | None:
        """The rules of the role that a roleRef in `namespace` names; None when there is no such role."""
        space = namespace if reference.get("kind") == "Role" else ""
        return self._roles.get((space, str(reference.get("name"))))

    def rules_for(self, user: User, namespace: str) -> Iterator[tuple[Rule, Object]]:
        """Each rule that holds for the user in `namespace` ("" for cluster scope only), with the binding giving it."""
        by_subject = self._index()
        for subject in _subjects(user):
            for space, binding in by_subject.get(subject, ()):
                if space in ("", namespace):
                    for rule in self.role_rules(binding["roleRef"], space) or ():
                        yield rule, binding

    def missing_roles(self, user: User, namespace: str) -> list[tuple[str, str]]:
        """Kind and name of each role that is bound to the user in `namespace` but is not there."""
        by_subject = self._index()
        missing: dict[tuple[str, str], None] = {}
        for subject in _subjects(user):
            for space, binding in by_subject.get(subject, ()):
                reference = binding["roleRef"]
                if space in ("", namespace) and self.role_rules(reference, space) is None:
                    missing[str(reference.get("kind")), str(reference.get("name"))] = None
        return list(missing)

    def _index(self) -> dict[tuple[str, str], list[tuple[str, Object]]]:
        if self._by_subject is None:
            index: dict[tuple[str, str], list[tuple[str, Object]]] = {}
            for (space, _), binding in self._bindings.items():
                for subject in binding.get("subjects") or ():
                    kind, name = subject.get("kind"), subject.get("name")
                    if kind == "ServiceAccount":
                        owner = subject.get("namespace") or space
                        kind, name = "User", f"{_ACCOUNT}{owner}:{name}"
                    index.setdefault((str(kind), str(name)), []).append((space, binding))
            self._by_subject = index
        return self._by_subject


class RBACAuthorizer:
    """Allows what a rule allows; has no opinion otherwise."""

    def __init__(self, policy: PolicyIndex) -> None:
        self.policy = policy

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        for rule, binding in self.policy.rules_for(attributes.user, attributes.namespace):
            if allows(rule, attributes):
                kind, name = binding["kind"], binding["metadata"]["name"]
                space = binding["metadata"].get("namespace")
                reference = binding["roleRef"]
                where = f'{kind} "{name}/{space}"' if space else f'{kind} "{name}"'
                subject = _subject_of(binding, attributes.user)
                role = f'{reference["kind"]} "{reference["name"]}"'
                return Decision.ALLOW, f"RBAC: allowed by {where} of {role} to {subject}"
        told = roles_not_found(self.policy, attributes.user, attributes.namespace)
        return Decision.NO_OPINION, f"RBAC: {told}" if told else ""


def roles_not_found(policy: PolicyIndex, user: User, namespace: str) -> str:
    """That roles bound to the user are not there, in the words of upstream's authorizer, which names their kind in the
    singular; "" when they all are."""
    missing = policy.missing_roles(user, namespace)
    return aggregate(f'{kind.lower()}.{GROUP} "{name}" not found' for kind, name in missing) if missing else ""


def _subjects(user: User) -> list[tuple[str, str]]:
    return [("User", user.name), *(("Group", group) for group in user.groups)]


def _subject_of(binding: Object, user: User) -> str:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if (kind == "Group" and name in user.groups) or (kind == "User" and name == user.name):
            return f'{kind} "{name}"'
        if kind == "ServiceAccount":
            space = subject.get("namespace") or binding["metadata"].get("namespace")
            if user.name == f"{_ACCOUNT}{space}:{name}":
                return f'ServiceAccount "{name}/{space}"'
    return f'User "{user.name}"'
