"""Access reviews, which are questions and never stored (pkg/apis/authorization/validation)."""

from apimachinery.api.validation.checks import Object, operator_values, qualified_name, sentences
from apimachinery.api.validation.go_values import go_labels
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, Verbatim, invalid, required

_SPEC = Path("spec")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def access_review(kind: str, obj: Object, namespace: str = "") -> list[Problem]:
    """A SelfSubject-, Subject- or LocalSubjectAccessReview: about a resource or a path, of somebody, without metadata.

    namespace: the request's, of a LocalSubjectAccessReview.
    """
    spec, local = obj.get("spec") or {}, kind == "LocalSubjectAccessReview"
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    problems: list[Problem] = []
    if resource is not None and other is not None:
        text = "cannot be specified in combination with resourceAttributes"
        problems.append(invalid(_SPEC.child("nonResourceAttributes"), _go_path(other), text))
    if resource is None and other is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problems.append(invalid(_SPEC.child("resourceAttributes"), None, text))
    if kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        problems.append(invalid(_SPEC.child("user"), "", "at least one of user or group must be specified"))
    for field in ("fieldSelector", "labelSelector"):
        selector, path = (resource or {}).get(field), _SPEC.child("resourceAttributes", field)
        problems += _selector(field, selector, path) if selector is not None else []
    meta = {key: value for key, value in (obj.get("metadata") or {}).items() if value and key != "managedFields"}
    if local:
        meta.pop("namespace", None)
    if meta:
        text = "must be empty except for namespace" if local else "must be empty"
        problems.append(invalid(Path("metadata"), _go_meta(obj.get("metadata") or {}), text))
    if local and resource is not None and (resource.get("namespace") or "") != namespace:
        where = Path("spec.resourceAttributes.namespace")
        problems.append(invalid(where, resource.get("namespace") or "", "must match metadata.namespace"))
    if local and other is not None:
        where = Path("spec.nonResourceAttributes")
        problems.append(invalid(where, _go_path(other), "disallowed on this kind of request"))
    return problems


def _selector(field: str, selector: Object, path: Path) -> list[Problem]:
    raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or []
    problems: list[Problem] = []
    if raw and requirements:
        text = "may not specified at the same time as requirements"
        problems.append(invalid(path.child("rawSelector"), raw, text))
    if not raw and not requirements:
        text = f"when {path} is specified, requirements or rawSelector is required"
        problems.append(required(path.child("requirements"), text))
    for position, each in enumerate(requirements):
        where, key = path.child("requirements").index(position), each.get("key") or ""
        if field == "fieldSelector":
            if not key:
                problems.append(required(where.child("key"), "must be specified"))
            problems += _requirement(each, where)
        else:
            problems += _requirement(each, where) + qualified_name(key, where.child("key"))
            for index, value in enumerate(each.get("values") or ()):
                problems += sentences(names.label_value(value), value, where.child("values").index(index))
    return problems


def _requirement(requirement: Object, path: Path) -> list[Problem]:
    """As many values as the operator takes. What operators there are is for whoever decides."""
    if requirement.get("operator") not in _OPERATORS:
        return []
    return operator_values(requirement, _OPERATORS, path)


def _go_path(attributes: Object) -> Verbatim:
    path, verb = attributes.get("path") or "", attributes.get("verb") or ""
    return Verbatim(f'authorization.NonResourceAttributes{{Path:"{path}", Verb:"{verb}"}}')


def _go_meta(meta: Object) -> Verbatim:
    """An ObjectMeta as Go prints it; owners and times beyond the text fields are shown as absent."""
    texts = ", ".join(
        f'{go}:"{meta.get(field) or ""}"'
        for go, field in (
            ("Name", "name"),
            ("GenerateName", "generateName"),
            ("Namespace", "namespace"),
            ("SelfLink", "selfLink"),
            ("UID", "uid"),
            ("ResourceVersion", "resourceVersion"),
        )
    )
    return Verbatim(
        f"v1.ObjectMeta{{{texts}, Generation:{meta.get('generation') or 0}, "
        "CreationTimestamp:time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC), DeletionTimestamp:<nil>, "
        f"DeletionGracePeriodSeconds:(*int64)(nil), Labels:{go_labels(meta.get('labels'))}, "
        f"Annotations:{go_labels(meta.get('annotations'))}, OwnerReferences:[]v1.OwnerReference(nil), "
        "Finalizers:[]string(nil), ManagedFields:[]v1.ManagedFieldsEntry(nil)}"
    )
