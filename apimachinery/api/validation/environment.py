"""Environment variables of a container and where their values come from."""

import re
from typing import Any

from apimachinery.api.validation.checks import Object, dns_subdomain, qualified_name, sentences
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, invalid, not_supported, required

_POD_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
# What a field's label may be at all; of these each place supports some.
_LABELS = frozenset((*_POD_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"))
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")


def environment(variables: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`env`: a name, and at most one source beside no value."""
    problems: list[Problem] = []
    for position, variable in enumerate(variables):
        where = path.index(position)
        name = variable.get("name", "")
        if name:
            problems += sentences(names.env_var_name(name), name, where.child("name"))
        else:
            problems.append(required(where.child("name")))
        source = variable.get("valueFrom")
        if source is None:
            continue
        below = where.child("valueFrom")
        if "fieldRef" in source:
            problems += field_selector(source["fieldRef"], _POD_FIELDS, below.child("fieldRef"))
        if "resourceFieldRef" in source:
            problems += resource_selector(source["resourceFieldRef"], below.child("resourceFieldRef"))
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if kind in source:
                problems += _key_selector(source[kind], below.child(kind))
        given = sum(kind in source for kind in _SOURCES)
        if given == 0:
            text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            problems.append(invalid(below, "", text))
        elif variable.get("value"):
            problems.append(invalid(below, "", "may not be specified when `value` is not empty"))
        elif given > 1:
            problems.append(invalid(below, "", "may not have more than one field specified at a time"))
    return problems


def environment_from(sources: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`envFrom`: exactly one source each."""
    problems: list[Problem] = []
    for position, source in enumerate(sources):
        where = path.index(position)
        if prefix := source.get("prefix"):
            problems += sentences(names.env_var_name(prefix), prefix, where.child("prefix"))
        for kind in ("configMapRef", "secretRef"):
            if kind in source:
                name = source[kind].get("name", "")
                place = where.child(kind).child("name")
                problems += dns_subdomain(name, place) if name else [required(place)]
        given = sum(kind in source for kind in ("configMapRef", "secretRef"))
        if given == 0:
            problems.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif given > 1:
            problems.append(invalid(path, "", "may not have more than one field specified at a time"))
    return problems


def _key_selector(selector: Object, path: Path) -> list[Problem]:
    problems = dns_subdomain(selector.get("name", ""), path.child("name"))
    if key := selector.get("key"):
        return problems + sentences(names.config_key(key), key, path.child("key"))
    return [*problems, required(path.child("key"))]


def field_selector(selector: Object, supported: tuple[str, ...], path: Path) -> list[Problem]:
    """A field of the pod: one of `supported`, or one entry of its labels or annotations.

    spec.host is what the first clients called spec.nodeName.
    """
    version, text = selector.get("apiVersion"), selector.get("fieldPath", "")
    if not version:
        return [required(path.child("apiVersion"))]
    where = path.child("fieldPath")
    if not text:
        return [required(where)]
    subscript = re.fullmatch(r"(.+?)\['(.*)'\]", text, re.DOTALL)
    holder, key = subscript.groups() if subscript else ("spec.nodeName" if text == "spec.host" else text, None)
    wrong = ""
    if version != "v1":
        wrong = f"unsupported pod version: {version}"
    elif key is not None and holder not in ("metadata.annotations", "metadata.labels"):
        wrong = f"field label does not support subscript: {text}"
    elif key is None and holder not in _LABELS:
        wrong = f"field label not supported: {text}"
    if wrong:
        return [invalid(where, text, f"error converting fieldPath: {wrong}")]
    if key is not None:
        return qualified_name(key.lower() if holder == "metadata.annotations" else key, path)
    return [] if holder in supported else [not_supported(where, holder, supported)]


def resource_selector(selector: Object, path: Path, in_volume: bool = False) -> list[Problem]:
    """A container's request or limit."""
    problems: list[Problem] = []
    resource = selector.get("resource", "")
    huge = resource.startswith(("requests.hugepages-", "limits.hugepages-"))
    if in_volume and not selector.get("containerName"):
        problems.append(required(path.child("containerName")))
    elif not resource:
        problems.append(required(path.child("resource")))
    elif resource not in _RESOURCES and not huge:
        problems.append(not_supported(path.child("resource"), resource, _RESOURCES))
    divisor = str(selector.get("divisor") or "0")
    if divisor == "0":
        return problems
    if resource.endswith(".cpu") and divisor not in ("1m", "1"):
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
        problems.append(invalid(path.child("divisor"), resource, text))
    what = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(resource.partition(".")[2])
    what = "hugepages" if huge else what
    if what and divisor not in _SIZES:
        text = f"only divisor's values {', '.join(_SIZES)} are supported with the {what} resource"
        problems.append(invalid(path.child("divisor"), resource, text))
    return problems
