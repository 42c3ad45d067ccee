"""PriorityClasses and RuntimeClasses (pkg/apis/{scheduling,node}/validation)."""

from apimachinery.api.validation.checks import Object, dns_label, immutable, labels, one_of
from apimachinery.api.validation.resources import requirements
from apimachinery.api.validation.scheduling import tolerations
from apimachinery.meta.paths import Path, Problem, Verbatim, duplicate, forbidden

HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_PREEMPTION = ("PreemptLowerPriority", "Never")


def priority_class(obj: Object) -> list[Problem]:
    """Names with `system-` are the system's own; users stay below a thousand million."""
    name, value = (obj.get("metadata") or {}).get("name") or "", obj.get("value") or 0
    problems: list[Problem] = []
    if name.startswith("system-"):
        wrong = _unlike_system(name, value, bool(obj.get("globalDefault")))
        if wrong:
            text = f"priority class names with 'system-' prefix are reserved for system use only. error: {wrong}"
            problems.append(forbidden(Path("metadata.name"), text))
    elif value > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        problems.append(forbidden(Path("value"), text))
    if obj.get("preemptionPolicy") is not None:
        problems += one_of(obj["preemptionPolicy"], _PREEMPTION, Path("preemptionPolicy"))
    return problems


def priority_class_update(new: Object, old: Object) -> list[Problem]:
    """Value and preemption stay."""
    problems: list[Problem] = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        problems.append(forbidden(Path("value"), "may not be changed in an update."))
    return problems + immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), Path("preemptionPolicy"))


def runtime_class(obj: Object) -> list[Problem]:
    """A handler; overhead and scheduling."""
    problems = dns_label(obj.get("handler", ""), Path("handler"))
    if obj.get("overhead") is not None:
        problems += requirements({"limits": obj["overhead"].get("podFixed")}, set(), Path("overhead"))
    scheduling, path = obj.get("scheduling"), Path("scheduling")
    if scheduling is None:
        return problems
    problems += labels(scheduling.get("nodeSelector"), path.child("nodeSelector"))
    found, where = scheduling.get("tolerations") or [], path.child("tolerations")
    problems += tolerations(found, where.child("tolerations"))
    keys = [tuple(each.get(field, "") for field in ("key", "operator", "value", "effect")) for each in found]
    for position, key in enumerate(keys):
        if key in keys[:position]:
            seconds = found[position].get("tolerationSeconds")
            shown = "(*int64)(nil)" if seconds is None else str(seconds)
            names = zip(("Key", "Operator", "Value", "Effect"), key, strict=True)
            fields = ", ".join(f'{name}:"{value}"' for name, value in names)
            text = Verbatim(f"core.Toleration{{{fields}, TolerationSeconds:{shown}}}")
            problems.append(duplicate(where.index(position), text))
    return problems


def runtime_class_update(new: Object, old: Object) -> list[Problem]:
    """The handler stays."""
    return immutable(new.get("handler", ""), old.get("handler", ""), Path("handler"))


def _unlike_system(name: str, value: int, is_default: bool) -> str:
    if name not in _SYSTEM_PRIORITIES:
        return f"{name} is not a known system priority class"
    if value != _SYSTEM_PRIORITIES[name]:
        return f"value of {name} PriorityClass must be {_SYSTEM_PRIORITIES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""
