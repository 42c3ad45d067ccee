"""Events (pkg/apis/core/validation/events.go), as the stored core/v1 objects that both groups show."""

from typing import Any

from apimachinery.api.validation.checks import IMMUTABLE, Object, dns_subdomain, immutable, qualified_name, same
from apimachinery.api.validation.go_values import go_struct, go_time
from apimachinery.meta import times
from apimachinery.meta.paths import Path, Problem, invalid, required

_LIMIT = 128
_NOTE_LIMIT = 1024
_MISMATCH = "does not match event.namespace"
_UNSET = "needs to be unset"
_BEFORE_TIME = ("involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type")
_AFTER_TIME = ("action", "related", "reportingComponent", "reportingInstance")
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def event(obj: Object, *, new_style: bool) -> list[Problem]:
    """What both groups ask of an Event. new_style: it was sent to events.k8s.io."""
    own, where = (obj.get("metadata") or {}).get("namespace") or "", Path("involvedObject.namespace")
    about = (obj.get("involvedObject") or {}).get("namespace") or ""
    problems: list[Problem] = []
    if not obj.get("eventTime"):
        if about != own if about else own not in ("", "default"):
            problems.append(invalid(where, about, _MISMATCH))
    else:
        if not about and own not in ("default", "kube-system"):
            problems.append(invalid(where, about, _MISMATCH))
        problems += _reported(obj, "reportingController" if new_style else "reportingComponent")
    return problems + dns_subdomain(own, Path("namespace"))


def new_event(obj: Object) -> list[Problem]:
    """What events.k8s.io asks of a new Event: the fields of the old kind stay empty."""
    problems = _series(obj)
    if not obj.get("eventTime"):
        problems.append(required(Path("eventTime")))
    if obj.get("type") not in ("Normal", "Warning"):
        problems.append(invalid(Path("type"), "", f"has invalid value: {obj.get('type') or ''}"))
    problems += [invalid(Path(field), "", _UNSET) for field in ("firstTimestamp", "lastTimestamp") if obj.get(field)]
    if obj.get("count"):
        problems.append(invalid(Path("count"), "", _UNSET))
    source = obj.get("source") or {}
    if source.get("component") or source.get("host"):
        problems.append(invalid(Path("source"), "", _UNSET))
    return problems


def event_update(new: Object, old: Object) -> list[Problem]:
    """What events.k8s.io lets change of an Event: its series."""
    problems = [] if same(new.get("series"), old.get("series")) else _series(new)
    problems += _fixed(new, old, _BEFORE_TIME)
    now, then = (times.parse(each["eventTime"]) if each.get("eventTime") else None for each in (new, old))
    if now != then:
        problems.append(invalid(Path("eventTime"), go_time(new.get("eventTime")), IMMUTABLE))
    return problems + _fixed(new, old, _AFTER_TIME)


def _fixed(new: Object, old: Object, fields: tuple[str, ...]) -> list[Problem]:
    problems: list[Problem] = []
    for field in fields:
        name = "reportingController" if field == "reportingComponent" else field
        problems += immutable(new.get(field), old.get(field), Path(name), _shown(field, new.get(field)))
    return problems


def _shown(field: str, value: Any) -> Any:
    """The value as Go prints it."""
    match field:
        case "involvedObject" | "related" if value is not None or field == "involvedObject":
            return go_struct("core.ObjectReference", _REFERENCE, value or {})
        case "source":
            return go_struct("core.EventSource", ("component", "host"), value or {})
        case "firstTimestamp" | "lastTimestamp":
            return go_time(value)
        case "related":
            return None
        case "count":
            return value or 0
    return value or ""


def _reported(obj: Object, controller: str) -> list[Problem]:
    name = obj.get("reportingComponent") or ""
    problems = [] if name else [required(Path(controller))]
    problems += qualified_name(name, Path(controller))
    for field, limit in (
        ("reportingInstance", _LIMIT),
        ("action", _LIMIT),
        ("reason", _LIMIT),
        ("message", _NOTE_LIMIT),
    ):
        text = obj.get(field) or ""
        if not text and field != "message":
            problems.append(required(Path(field)))
        if len(text.encode()) > limit:
            problems.append(invalid(Path(field), "", f"can have at most {limit} characters"))
    return problems


def _series(obj: Object) -> list[Problem]:
    series = obj.get("series")
    if series is None:
        return []
    problems: list[Problem] = []
    if (series.get("count") or 0) < 2:
        problems.append(invalid(Path("series.count"), "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        problems.append(required(Path("series.lastObservedTime")))
    return problems
