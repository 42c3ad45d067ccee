"""Namespaces (pkg/apis/core/validation)."""

from apimachinery.api.validation.checks import Object, qualified_name
from apimachinery.api.validation.metadata import standard_finalizer
from apimachinery.meta.paths import Path, Problem, invalid

_FINALIZERS = Path("spec.finalizers")


def namespace_create(obj: Object) -> list[Problem]:
    """A new namespace's finalizers."""
    found = (obj.get("spec") or {}).get("finalizers") or []
    return [problem for each in found for problem in finalizer_name(each, _FINALIZERS)]


def namespace_finalize(new: Object, old: Object) -> list[Problem]:
    """A write to namespaces/finalize."""
    found = (new.get("spec") or {}).get("finalizers") or []
    return [
        problem for position, each in enumerate(found) for problem in finalizer_name(each, _FINALIZERS.index(position))
    ]


def namespace_status(new: Object, old: Object) -> list[Problem]:
    """The phase says whether the namespace is being deleted."""
    ending = bool((new.get("metadata") or {}).get("deletionTimestamp"))
    phase, path = (new.get("status") or {}).get("phase", ""), Path("status.Phase")
    if ending and phase != "Terminating":
        return [invalid(path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
    if not ending and phase != "Active":
        return [invalid(path, phase, "may only be 'Active' if `deletionTimestamp` is empty")]
    return []


def finalizer_name(text: str, path: Path) -> list[Problem]:
    """A finalizer of ours or a name with its domain."""
    return qualified_name(text, path) + standard_finalizer(text, path)
