"""Probes and life-cycle hooks."""

from apimachinery.api.validation.checks import Object, nonnegative, port_or_name, sentences
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probe(kind: str, spec: Object, path: Path) -> list[Problem]:
    """A probe; `kind` is its field's name."""
    problems = _handler(spec, None, path)
    for name in _NUMBERS:
        problems += nonnegative(spec.get(name), path.child(name))
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        problems.append(invalid(path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0"))
    if kind == "readinessProbe":
        if grace is not None:
            text = "must not be set for readinessProbes"
            problems.append(invalid(path.child("terminationGracePeriodSeconds"), grace, text))
    elif spec.get("successThreshold", 1) != 1:
        problems.append(invalid(path.child("successThreshold"), spec["successThreshold"], "must be 1"))
    return problems


def lifecycle(spec: Object, grace_seconds: int | None, path: Path) -> list[Problem]:
    """postStart and preStop."""
    problems: list[Problem] = []
    for name in ("postStart", "preStop"):
        if spec.get(name) is not None:
            problems += _handler(spec[name], grace_seconds, path.child(name))
    return problems


def _handler(spec: Object, grace_seconds: int | None, path: Path) -> list[Problem]:
    given = [name for name in ("exec", "httpGet", "tcpSocket", "grpc", "sleep") if spec.get(name) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    problems: list[Problem] = []
    first, action, where = given[0], spec[given[0]], path.child(given[0])
    match first:
        case "exec":
            if not action.get("command"):
                problems.append(required(where.child("command")))
        case "httpGet":
            problems += _http(action, where)
        case "tcpSocket" | "grpc":
            problems += port_or_name(action.get("port"), where.child("port"))
        case "sleep":
            seconds = action.get("seconds", 0)
            if grace_seconds is not None and not 0 < seconds <= grace_seconds:
                text = (
                    f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace_seconds}). "
                    "Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
                )
                problems.append(invalid(where, seconds, text))
    for name in given[1:]:
        problems.append(forbidden(path.child(name), "may not specify more than 1 handler type"))
    return problems


def _http(action: Object, path: Path) -> list[Problem]:
    problems = [] if action.get("path") else [required(path.child("path"))]
    problems += port_or_name(action.get("port"), path.child("port"))
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        problems.append(not_supported(path.child("scheme"), action.get("scheme", ""), ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        problems += sentences(names.http_header_name(name), name, path.child("httpHeaders"))
    return problems
