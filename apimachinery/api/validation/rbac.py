"""Roles and bindings (pkg/apis/rbac/validation)."""

from apimachinery.api.validation.checks import Object, dns_subdomain, label_selector, same, sentences
from apimachinery.api.validation.go_values import go_strings, go_struct
from apimachinery.api.validation.metadata import path_segment
from apimachinery.meta.paths import Path, Problem, invalid, not_supported, required

_GROUP = "rbac.authorization.k8s.io"


def role(obj: Object) -> list[Problem]:
    """A Role: rules for resources only."""
    return _rules(obj, True)


def cluster_role(obj: Object) -> list[Problem]:
    """A ClusterRole: rules for resources or for paths, and the selectors of an aggregated one."""
    problems, aggregation = _rules(obj, False), obj.get("aggregationRule")
    if aggregation is None:
        return problems
    path, selectors = Path("aggregationRule.clusterRoleSelectors"), aggregation.get("clusterRoleSelectors") or []
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        problems.append(required(path, text))
    for position, selector in enumerate(selectors):
        if wrong := label_selector(selector, path.index(position)):
            # Upstream shows what it could not read it into: nothing.
            problems += [*wrong, invalid(path.index(position), None, "invalid label selector.")]
    return problems


def role_binding(obj: Object) -> list[Problem]:
    """A RoleBinding: of a Role or a ClusterRole."""
    return _binding(obj, ("Role", "ClusterRole"), True)


def cluster_role_binding(obj: Object) -> list[Problem]:
    """A ClusterRoleBinding: of a ClusterRole."""
    return _binding(obj, ("ClusterRole",), False)


def binding_update(new: Object, old: Object) -> list[Problem]:
    """What is bound never changes: delete and create again."""
    after, before = new.get("roleRef") or {}, old.get("roleRef") or {}
    if same(after, before):
        return []
    shown = go_struct("rbac.RoleRef", ("apiGroup", "kind", "name"), after)
    return [invalid(Path("roleRef"), shown, "cannot change roleRef")]


def _rules(obj: Object, namespaced: bool) -> list[Problem]:
    problems: list[Problem] = []
    for position, rule in enumerate(obj.get("rules") or ()):
        where = Path("rules").index(position)
        if not rule.get("verbs"):
            problems.append(required(where.child("verbs"), "verbs must contain at least one value"))
        if urls := rule.get("nonResourceURLs"):
            place, shown = where.child("nonResourceURLs"), go_strings(urls)
            if namespaced:
                problems.append(invalid(place, shown, "namespaced rules cannot apply to non-resource URLs"))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                problems.append(invalid(place, shown, text))
            continue
        if not rule.get("apiGroups"):
            text = "resource rules must supply at least one api group"
            problems.append(required(where.child("apiGroups"), text))
        if not rule.get("resources"):
            text = "resource rules must supply at least one resource"
            problems.append(required(where.child("resources"), text))
    return problems


def _binding(obj: Object, kinds: tuple[str, ...], namespaced: bool) -> list[Problem]:
    reference, path = obj.get("roleRef") or {}, Path("roleRef")
    problems: list[Problem] = []
    if reference.get("apiGroup") != _GROUP:
        problems.append(not_supported(path.child("apiGroup"), reference.get("apiGroup", ""), (_GROUP,)))
    if reference.get("kind") not in kinds:
        problems.append(not_supported(path.child("kind"), reference.get("kind", ""), kinds))
    name = reference.get("name", "")
    if name:
        problems += sentences(path_segment(name), name, path.child("name"))
    else:
        problems.append(required(path.child("name")))
    for position, subject in enumerate(obj.get("subjects") or ()):
        problems += _subject(subject, namespaced, Path("subjects").index(position))
    return problems


def _subject(subject: Object, namespaced: bool, path: Path) -> list[Problem]:
    name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
    problems = [] if name else [required(path.child("name"))]
    match kind:
        case "ServiceAccount":
            if name:
                problems += dns_subdomain(name, path.child("name"))
            if group:
                problems.append(not_supported(path.child("apiGroup"), group, ("",)))
            if not namespaced and not subject.get("namespace"):
                problems.append(required(path.child("namespace")))
        case "User" | "Group":
            if group != _GROUP:
                problems.append(not_supported(path.child("apiGroup"), group, (_GROUP,)))
        case _:
            problems.append(not_supported(path.child("kind"), kind, ("ServiceAccount", "User", "Group")))
    return problems
