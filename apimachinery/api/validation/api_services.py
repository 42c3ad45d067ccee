"""APIServices (kube-aggregator, pkg/apis/apiregistration/validation)."""

from apimachinery.api.validation.checks import Object, dns_subdomain, sentences
from apimachinery.api.validation.metadata import path_segment
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, invalid, not_supported, required

_SPEC = Path("spec")
_STATUSES = ("True", "False", "Unknown")


def api_service(obj: Object) -> list[Problem]:
    """Group, version, priorities, and how to reach a Service that is not this server."""
    spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or ""
    group, version = spec.get("group", ""), spec.get("version", "")
    problems: list[Problem] = []
    if name and not path_segment(name) and name != f"{version}.{group}":
        text = f'must be `spec.version+"."+spec.group`: "{version}.{group}"'
        problems.append(invalid(Path("metadata.name"), name, text))
    if not group and version != "v1":
        text = "only v1 may have an empty group and it better be legacy kube"
        problems.append(required(_SPEC.child("group"), text))
    if group:
        problems += dns_subdomain(group, _SPEC.child("group"))
    problems += sentences(names.dns1035_label(version), version, _SPEC.child("version"))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            problems.append(invalid(_SPEC.child(field), value, f"must be positive and less than {most}"))
    return problems + _service(spec)


def api_service_status(new: Object, old: Object) -> list[Problem]:
    """Conditions are true, false or unknown."""
    found = (new.get("status") or {}).get("conditions") or []
    return [
        not_supported(Path("status.conditions").index(position).child("status"), each.get("status", ""), _STATUSES)
        for position, each in enumerate(found)
        if each.get("status") not in _STATUSES
    ]


def _service(spec: Object) -> list[Problem]:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle") or "", spec.get("insecureSkipTLSVerify")
    problems: list[Problem] = []
    if service is None:
        if bundle:
            size = len(bundle) * 3 // 4 - bundle[-2:].count("=")
            text = "local APIServices may not have a caBundle"
            problems.append(invalid(_SPEC.child("caBundle"), f"{size} bytes", text))
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            problems.append(invalid(_SPEC.child("insecureSkipTLSVerify"), True, text))
        return problems
    path = _SPEC.child("service")
    problems += [required(path.child(field)) for field in ("namespace", "name") if not service.get(field)]
    port = service.get("port") or 0
    if wrong := names.port_number(port):
        problems.append(invalid(path.child("port"), port, f"port is not valid: {', '.join(wrong)}"))
    if insecure and bundle:
        text = "may not be true if caBundle is present"
        problems.append(invalid(_SPEC.child("insecureSkipTLSVerify"), True, text))
    return problems
