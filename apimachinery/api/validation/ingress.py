"""Ingresses and IngressClasses (pkg/apis/networking/validation)."""

from apimachinery.api.validation.checks import (
    Object,
    dns_label,
    dns_subdomain,
    immutable,
    sentences,
)
from apimachinery.api.validation.metadata import path_segment
from apimachinery.api.validation.syntax import domain_path, load_balancer_ingress
from apimachinery.meta import names
from apimachinery.meta.addresses import parse_ip
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required, too_long

_SPEC = Path("spec")
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_MAX_CONTROLLER = 250
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_SCOPES = ("Cluster", "Namespace")
_FORBIDDEN_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_FORBIDDEN_ENDS = ("/..", "/.")


def ingress_create(obj: Object) -> list[Problem]:
    """A new Ingress: the old annotation, if there is one, agrees with the class."""
    spec = obj.get("spec") or {}
    annotation = ((obj.get("metadata") or {}).get("annotations") or {}).get(_CLASS_ANNOTATION)
    named = spec.get("ingressClassName")
    problems = _ingress(spec, old_secrets=False, old_wildcards=False)
    if annotation is not None and named is not None and annotation != named:
        text = "must match `ingressClassName` when both are specified"
        problems.append(invalid(Path("annotations").child(_CLASS_ANNOTATION), annotation, text))
    return problems


def ingress_update(new: Object, old: Object) -> list[Problem]:
    """What was stored with a bad secret name or below a wildcard host may stay."""
    before = old.get("spec") or {}
    old_secrets = any(_secret_name(tls.get("secretName", "")) for tls in before.get("tls") or ())
    old_wildcards = any("*" in rule.get("host", "") and _rule_value(rule, Path()) for rule in before.get("rules") or ())
    return _ingress(new.get("spec") or {}, old_secrets=old_secrets, old_wildcards=old_wildcards)


def ingress_status(new: Object, old: Object) -> list[Problem]:
    """The addresses that a load balancer reports."""
    found = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return load_balancer_ingress(found, Path("status.loadBalancer.ingress"))


def ingress_class(obj: Object) -> list[Problem]:
    """A controller's name with its domain; parameters."""
    spec = obj.get("spec") or {}
    controller, path = spec.get("controller", ""), _SPEC.child("controller")
    problems: list[Problem] = []
    if len(controller) > _MAX_CONTROLLER:
        problems.append(too_long(path, _MAX_CONTROLLER))
    problems += domain_path(controller, path)
    if spec.get("parameters") is not None:
        problems += _parameters(spec["parameters"], _SPEC.child("parameters"))
    return problems


def ingress_class_update(new: Object, old: Object) -> list[Problem]:
    """The controller stays."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    return immutable(after.get("controller", ""), before.get("controller", ""), _SPEC.child("controller"))


def _ingress(spec: Object, *, old_secrets: bool, old_wildcards: bool) -> list[Problem]:
    problems: list[Problem] = []
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        shown = Verbatim("[]networking.IngressRule" + ("(nil)" if spec.get("rules") is None else "{}"))
        problems.append(invalid(_SPEC, shown, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        problems += _backend(backend, _SPEC.child("defaultBackend"))
    for position, rule in enumerate(rules):
        where, host = _SPEC.child("rules").index(position), rule.get("host", "")
        if host:
            if parse_ip(host) is not None:
                problems.append(invalid(where.child("host"), host, "must be a DNS name, not an IP address"))
            problems += _host(host, where.child("host"))
        if "*" not in host or not old_wildcards:
            problems += _rule_value(rule, where)
    for position, tls in enumerate(spec.get("tls") or ()):
        where = _SPEC.child("tls").index(position)
        for index, host in enumerate(tls.get("hosts") or ()):
            problems += _host(host, where.child("hosts").index(index))
        if not old_secrets:
            secret = tls.get("secretName", "")
            problems += sentences(_secret_name(secret), secret, where.child("secretName"))
    named = spec.get("ingressClassName")
    return problems + (dns_subdomain(named, _SPEC.child("ingressClassName")) if named is not None else [])


def _host(host: str, path: Path) -> list[Problem]:
    return sentences((names.wildcard_subdomain if "*" in host else names.dns1123_subdomain)(host), host, path)


def _secret_name(name: str) -> list[str]:
    return names.dns1123_subdomain(name) if name else []


def _rule_value(rule: Object, path: Path) -> list[Problem]:
    http = rule.get("http")
    if http is None:
        return []
    where, paths = path.child("http", "paths"), http.get("paths") or []
    if not paths:
        return [required(where)]
    return [problem for position, each in enumerate(paths) for problem in _path(each, where.index(position))]


def _path(rule: Object, path: Path) -> list[Problem]:
    kind, text, where = rule.get("pathType"), rule.get("path", ""), path.child("path")
    if kind is None:
        return [required(path.child("pathType"), "pathType must be specified")]
    problems: list[Problem] = []
    if kind not in _PATH_TYPES:
        problems.append(not_supported(path.child("pathType"), kind, _PATH_TYPES))
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        problems.append(invalid(where, text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        problems += [invalid(where, text, f"must not contain '{part}'") for part in _FORBIDDEN_PARTS if part in text]
        problems += [invalid(where, text, f"cannot end with '{end}'") for end in _FORBIDDEN_ENDS if text.endswith(end)]
    return problems + _backend(rule.get("backend") or {}, path.child("backend"))


def _backend(backend: Object, path: Path) -> list[Problem]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, path.child("resource"))
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    where, name, port = path.child("service"), service.get("name", ""), service.get("port") or {}
    place = where.child("name")
    problems = sentences(names.dns1035_label(name), name, place) if name else [required(place)]
    if port.get("name") and port.get("number"):
        problems.append(invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        problems += sentences(names.port_name(port["name"]), port["name"], where.child("port", "name"))
    elif port.get("number"):
        problems += sentences(names.port_number(port["number"]), port["number"], where.child("port", "number"))
    else:
        problems.append(required(path, "port name or number is required"))
    return problems


def _reference(reference: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    if reference.get("apiGroup") is not None:
        problems += dns_subdomain(reference["apiGroup"], path.child("apiGroup"))
    for field in ("kind", "name"):
        value, where = reference.get(field, ""), path.child(field)
        problems += sentences(path_segment(value), value, where) if value else [required(where, f"{field} is required")]
    return problems


def _parameters(parameters: Object, path: Path) -> list[Problem]:
    problems = _reference(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        return [*problems, required(path.child("scope"))]
    where = path.child("namespace")
    if scope not in _SCOPES:
        problems.append(not_supported(path.child("scope"), scope, _SCOPES))
    elif scope == "Namespace":
        text = "`parameters.scope` is set to 'Namespace'"
        problems += [required(where, text)] if namespace is None else dns_label(namespace, where)
    elif namespace is not None:
        problems.append(forbidden(where, "`parameters.scope` is set to 'Cluster'"))
    return problems
