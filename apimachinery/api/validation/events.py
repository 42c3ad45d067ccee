"""Events (pkg/apis/core/validation/events.go)."""

from apimachinery.api.validation.checks import Object
from apimachinery.meta.paths import Path, Problem, invalid

_SYSTEM = ("", "default", "kube-system")


def event(obj: Object) -> list[Problem]:
    """An Event lies in the namespace of what it tells of; of cluster-scoped objects in `default`."""
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    about, own = involved.get("namespace") or "", (obj.get("metadata") or {}).get("namespace") or ""
    where = Path("involvedObject", "namespace")
    if about and about != own:
        return [invalid(where, about, "does not match event.namespace")]
    if not about and own not in _SYSTEM:
        return [invalid(where, about, "does not match event.namespace")]
    return []
