"""A container's environment: services, envFrom, env, in that order, the later ones winning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodeagent.kubelet import downward
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.expansion import expand
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.volumes.payload import secret_data


class ConfigProblem(Exception):
    """The container cannot be configured as its spec asks: reason CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class References:
    """The ConfigMaps and Secrets that the environment names, by name; None for one that does not exist."""

    config_maps: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)


def referenced(container: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """(config maps, secrets) that must be read before the environment can be rendered."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.get("envFrom") or ():
        for key, names in (("configMapRef", maps), ("secretRef", secrets)):
            if key in source:
                names.add(source[key]["name"])
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        for key, names in (("configMapKeyRef", maps), ("secretKeyRef", secrets)):
            if key in origin:
                names.add(origin[key]["name"])
    return maps, secrets


def render(
    pod: Pod,
    container: Container,
    *,
    ips: Sequence[str],
    node: NodeFacts,
    services: Mapping[str, str],
    references: References,
) -> dict[str, str]:
    """The environment in the order in which it is given to the runtime. Raises ConfigProblem."""
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result |= _from_whole(pod, source, references)
    for variable in container.get("env") or ():
        name, origin = variable["name"], variable.get("valueFrom")
        if origin:
            text = _from_one(pod, container, origin, ips, node, references)
            if text is None:
                continue
        else:
            text = expand(variable.get("value") or "", {**services, **result})
        result[name] = text
    return {**{name: text for name, text in services.items() if name not in result}, **result}


def service_variables(
    services: Iterable[Mapping[str, Any]], namespace: str, *, links: bool, master: str = "default"
) -> dict[str, str]:
    """`REDIS_SERVICE_HOST` and its like for each service with a cluster IP; without `links` only of `kubernetes`.

    pkg/kubelet/envvars/envvars.go. master: the namespace of the API's own service.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    for service in services:
        name, home = service["metadata"]["name"], service["metadata"].get("namespace")
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        if ((home == master and name == "kubernetes") and name not in chosen) or (home == namespace and links):
            chosen[name] = service
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result |= _of_service(name, chosen[name]["spec"])
    return result


def _of_service(name: str, spec: Mapping[str, Any]) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    host, ports = spec["clusterIP"], spec.get("ports") or []
    if not ports:
        return {}
    found = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    bracketed = f"[{host}]" if ":" in host else host
    for index, port in enumerate(ports):
        protocol = (port.get("protocol") or "TCP").upper()
        url = f"{protocol.lower()}://{bracketed}:{port['port']}"
        stem = f"{prefix}_PORT_{port['port']}_{protocol}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        found |= {
            stem: url,
            f"{stem}_PROTO": protocol.lower(),
            f"{stem}_PORT": str(port["port"]),
            f"{stem}_ADDR": host,
        }
    return found


def _from_whole(pod: Pod, source: Mapping[str, Any], references: References) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if "configMapRef" in source:
        reference = source["configMapRef"]
        found = references.config_maps.get(reference["name"])
        data: Mapping[str, str] = (found or {}).get("data") or {}
        kind = "configmap"
    else:
        reference = source["secretRef"]
        found = references.secrets.get(reference["name"])
        data = {key: raw.decode(errors="replace") for key, raw in secret_data(found or {}).items()}
        kind = "secret"
    if found is None and not reference.get("optional"):
        raise ConfigProblem(f'{kind} "{reference["name"]}" not found')
    # Every key is a name: those that begin with a digit too (RelaxedEnvironmentVariableValidation, open since 1.32).
    return {f"{prefix}{key}": text for key, text in data.items()}


def _from_one(
    pod: Pod,
    container: Container,
    origin: Mapping[str, Any],
    ips: Sequence[str],
    node: NodeFacts,
    references: References,
) -> str | None:
    try:
        if "fieldRef" in origin:
            return downward.field_value(pod, origin["fieldRef"]["fieldPath"], ips, node)
        if "resourceFieldRef" in origin:
            return downward.resource_value(pod, origin["resourceFieldRef"], container["name"], node)
    except ValueError as error:
        raise ConfigProblem(str(error)) from error
    namespace = pod["metadata"]["namespace"]
    if "configMapKeyRef" in origin:
        reference = origin["configMapKeyRef"]
        found = references.config_maps.get(reference["name"])
        data: Mapping[str, str] = (found or {}).get("data") or {}
        kind, label = "configmap", "ConfigMap"
    elif "secretKeyRef" in origin:
        reference = origin["secretKeyRef"]
        found = references.secrets.get(reference["name"])
        data = {key: raw.decode(errors="replace") for key, raw in secret_data(found or {}).items()}
        kind, label = "secret", "Secret"
    else:
        raise ConfigProblem("invalid env valueFrom: no source is set")
    if found is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    if found is None:
        raise ConfigProblem(f'{kind} "{reference["name"]}" not found')
    raise ConfigProblem(f"couldn't find key {reference['key']} in {label} {namespace}/{reference['name']}")
