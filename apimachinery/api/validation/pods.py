"""Pods and pod templates (pkg/apis/core/validation)."""

from typing import Any

from apimachinery.api.validation.checks import (
    Object,
    dns_label,
    dns_subdomain,
    ip,
    labels,
    one_of,
    qualified_name,
    sentences,
)
from apimachinery.api.validation.containers import PodContext, containers, ephemeral_containers, init_containers
from apimachinery.api.validation.go_values import go_strings
from apimachinery.api.validation.metadata import annotations
from apimachinery.api.validation.pod_annotations import pod_annotations, profiles_agree
from apimachinery.api.validation.pod_resources import pod_resources
from apimachinery.api.validation.pod_systems import operating_system
from apimachinery.api.validation.resources import requirements
from apimachinery.api.validation.scheduling import affinity, gates, spread_constraints, tolerations
from apimachinery.api.validation.security import host_namespaces, pod_security
from apimachinery.api.validation.volumes import volumes
from apimachinery.api.validation.windows import host_processes
from apimachinery.api.verdicts import Good, digest
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_supported, required

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = 2**31 - 1
_GOOD = Good()


def pod(obj: Object) -> list[Problem]:
    """A Pod's spec, on create and on update."""
    spec, path = obj.get("spec") or {}, Path("spec")
    name = (obj.get("metadata") or {}).get("name") or ""
    problems, known = pod_annotations(obj), digest(spec)
    if known not in _GOOD:
        found = pod_spec(spec, path, is_pod=True, name=name)
        if not found:
            _GOOD.remember(known)
        problems += found
    if not spec.get("serviceAccountName"):
        for position, volume in enumerate(spec.get("volumes") or ()):
            for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    where = path.child("volumes").index(position).child("projected", "sources").index(index)
                    text = "must not be specified when serviceAccountName is not set"
                    problems.append(forbidden(where.child("serviceAccountToken"), text))
    return problems


def pod_create(obj: Object) -> list[Problem]:
    """What only a new Pod is checked for."""
    spec, path = obj.get("spec") or {}, Path("spec")
    problems: list[Problem] = []
    if spec.get("ephemeralContainers"):
        problems.append(forbidden(path.child("ephemeralContainers"), "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        problems.append(forbidden(path.child("nodeName"), text))
    return problems + profiles_agree(obj)


def pod_template(template: Object | None, path: Path) -> list[Problem]:
    """The template of a workload."""
    if template is None:
        return [required(path)]
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    problems = labels(meta.get("labels"), path.child("labels"))
    problems += annotations(meta.get("annotations"), path.child("annotations"))
    problems += pod_annotations(template, path.child("annotations"))
    problems += pod_spec(spec, path.child("spec"))
    problems += profiles_agree(template, path.child("spec"))
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        problems.append(forbidden(path.child("spec", "ephemeralContainers"), text))
    return problems


def pod_spec(spec: dict[str, Any], path: Path, is_pod: bool = False, name: str = "") -> list[Problem]:
    """A PodSpec. `is_pod`: in a Pod of that name, not in a template."""
    problems: list[Problem] = []
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        problems.append(required(path.child("terminationGracePeriodSeconds")))
    known, wrong = volumes(spec.get("volumes") or [], path.child("volumes"), name)
    problems += wrong
    claims = frozenset(each.get("name", "") for each in spec.get("resourceClaims") or ())
    context = PodContext(known, claims, grace, is_pod, spec.get("restartPolicy") or "")
    regular, initial = spec.get("containers") or [], spec.get("initContainers") or []
    ephemeral = spec.get("ephemeralContainers") or []
    problems += containers(regular, context, path.child("containers"))
    problems += init_containers(initial, regular, context, path.child("initContainers"))
    problems += ephemeral_containers(ephemeral, [*regular, *initial], context, path.child("ephemeralContainers"))
    problems += pod_resources(spec, claims, path.child("resources"))
    problems += _host_network(spec, regular, path, is_pod)
    problems += one_of(spec.get("restartPolicy"), _RESTART, path.child("restartPolicy"))
    problems += one_of(spec.get("dnsPolicy"), _DNS, path.child("dnsPolicy"))
    problems += labels(spec.get("nodeSelector"), path.child("nodeSelector"))
    problems += pod_security(spec.get("securityContext") or {}, spec, path.child("securityContext"))
    problems += affinity(spec.get("affinity") or {}, path.child("affinity"))
    problems += _dns_config(spec, path.child("dnsConfig"))
    for position, gate in enumerate(spec.get("readinessGates") or ()):
        where = path.child("readinessGates").index(position).child("conditionType")
        problems += qualified_name(gate.get("conditionType", ""), where)
    problems += gates(spec.get("schedulingGates") or [], path.child("schedulingGates"))
    constraints = spec.get("topologySpreadConstraints") or []
    problems += spread_constraints(constraints, path.child("topologySpreadConstraints"))
    problems += host_processes(spec, path)
    problems += host_namespaces(spec, path)
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            problems += dns_subdomain(spec[field], path.child(field))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        problems += sentences([names.range_error(1, _MAX_INT32)], deadline, path.child("activeDeadlineSeconds"))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            problems += dns_label(spec[field], path.child(field))
    problems += tolerations(spec.get("tolerations") or [], path.child("tolerations"))
    problems += _host_aliases(spec.get("hostAliases") or [], path.child("hostAliases"))
    if spec.get("priorityClassName"):
        problems += dns_subdomain(spec["priorityClassName"], path.child("priorityClassName"))
    if spec.get("runtimeClassName") is not None:
        problems += dns_subdomain(spec["runtimeClassName"], path.child("runtimeClassName"))
    if spec.get("preemptionPolicy") is not None:
        supported = ("PreemptLowerPriority", "Never")
        problems += one_of(spec["preemptionPolicy"], supported, path.child("preemptionPolicy"))
    if spec.get("overhead") is not None:
        problems += requirements({"limits": spec["overhead"]}, set(), path.child("overhead"))
    return problems + operating_system(spec, path)


def _host_network(spec: Object, regular: list[dict[str, Any]], path: Path, is_pod: bool) -> list[Problem]:
    if not spec.get("hostNetwork"):
        return []
    problems: list[Problem] = []
    for position, container in enumerate(regular):
        for index, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != port.get("containerPort"):
                where = path.child("containers").index(position).child("ports").index(index).child("hostPort")
                problems.append(invalid(where, host, "must match `containerPort` when `hostNetwork` is true"))
    return problems


def _dns_config(spec: Object, path: Path) -> list[Problem]:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(path.child("nameservers"), text)]
    if config is None:
        return []
    problems: list[Problem] = []
    if len(servers) > 3:
        problems.append(
            invalid(path.child("nameservers"), go_strings(servers), "must not have more than 3 nameservers")
        )
    for position, server in enumerate(servers):
        problems += ip(server, path.child("nameservers").index(position))
    searches = config.get("searches") or []
    if len(searches) > 32:
        problems.append(
            invalid(path.child("searches"), go_strings(searches), "must not have more than 32 search paths")
        )
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        problems.append(invalid(path.child("searches"), go_strings(searches), text))
    for position, search in enumerate(searches):
        problems += dns_subdomain(search.removesuffix("."), path.child("searches").index(position))
    for position, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            problems.append(required(path.child("options").index(position), "must not be empty"))
    return problems


def _host_aliases(aliases: list[dict[str, Any]], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for position, alias in enumerate(aliases):
        where = path.index(position)
        problems += ip(alias.get("ip", ""), where.child("ip"))
        for index, name in enumerate(alias.get("hostnames") or ()):
            problems += dns_subdomain(name, where.child("hostnames").index(index))
    return problems


def binding(obj: Object) -> list[Problem]:
    """A Binding: its target is a node, and named."""
    target, path = obj.get("target") or {}, Path("target")
    problems: list[Problem] = []
    if target.get("kind") and target["kind"] != "Node":
        problems.append(not_supported(path.child("kind"), target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        problems.append(required(path.child("name")))
    return problems


def addresses(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`podIPs` or `hostIPs` of a status: one of each family."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, each in enumerate(found):
        text = each.get("ip", "")
        problems += ip(text, path.index(position))
        if text in seen:
            problems.append(duplicate(path.index(position), each))
        seen.add(text)
    families = {":" in text for text in seen}
    if len(found) > 1 and (len(found) > 2 or len(families) < 2):
        problems.append(invalid(path, found, "may specify no more than one IP for each IP family"))
    return problems
