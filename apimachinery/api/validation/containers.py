"""Containers of a pod: names, images, ports, environment, mounts, probes, life cycle (pkg/apis/core/validation)."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from apimachinery.api.validation.checks import Object, dns_label, one_of, one_of_given, sentences
from apimachinery.api.validation.environment import environment, environment_from
from apimachinery.api.validation.go_values import go_struct
from apimachinery.api.validation.probes import lifecycle, probe
from apimachinery.api.validation.resources import requirements, resize_policies
from apimachinery.api.validation.security import container_security
from apimachinery.api.validation.volume_sources import descending_path
from apimachinery.meta import names
from apimachinery.meta.paths import (
    Path,
    Problem,
    Verbatim,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL = ("Always", "IfNotPresent", "Never")
_TERMINATION = ("File", "FallbackToLogsOnError")
_EPHEMERAL_FORBIDDEN = (
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "restartPolicy",
    "resizePolicy",
)


class PodContext(Struct, frozen=True):
    """What a container's check must know of its pod."""

    volumes: Mapping[str, Object] = field(default_factory=dict)
    claims: frozenset[str] = frozenset()
    grace_seconds: int | None = None
    is_pod: bool = False
    restart_policy: str = ""


def containers(found: list[dict[str, Any]], pod: PodContext, path: Path) -> list[Problem]:
    """The regular containers: at least one, each with a name of its own."""
    if not found:
        return [required(path)]
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, container in enumerate(found):
        where = path.index(position)
        problems += _common(container, pod, where)
        name = container.get("name", "")
        if name in seen:
            problems.append(duplicate(where.child("name"), name))
        seen.add(name)
        problems += _running(container, pod, where)
        if container.get("restartPolicy") is not None:
            problems.append(forbidden(where.child("restartPolicy"), "may not be set for non-init containers"))
    return problems + _host_ports(found, path)


def init_containers(
    found: list[dict[str, Any]], regular: list[dict[str, Any]], pod: PodContext, path: Path
) -> list[Problem]:
    """Init containers, with probes and hooks only for those that stay (restartPolicy Always)."""
    problems: list[Problem] = []
    seen = {container.get("name", "") for container in regular}
    for position, container in enumerate(found):
        where = path.index(position)
        problems += _common(container, pod, where)
        policy = container.get("restartPolicy")
        problems += one_of_given(policy, ("Always",), where.child("restartPolicy"))
        name = container.get("name", "")
        if name in seen:
            problems.append(duplicate(where.child("name"), name))
        elif name:
            seen.add(name)
        problems += _host_ports([container], path)
        problems += _running(container, pod, where) if policy == "Always" else _not_running(container, where)
        if policies := container.get("resizePolicy"):
            kind = "core.ContainerResizePolicy"
            each = ", ".join(go_struct(kind, ("resourceName", "restartPolicy"), one) for one in policies)
            shown = Verbatim(f"[]{kind}{{{each}}}")
            problems.append(invalid(where.child("resizePolicy"), shown, "must not be set for init containers"))
    return problems


def ephemeral_containers(
    found: list[dict[str, Any]], others: list[dict[str, Any]], pod: PodContext, path: Path
) -> list[Problem]:
    """Ephemeral containers: no ports, probes or resources; their target must exist."""
    problems: list[Problem] = []
    targets = {container.get("name", "") for container in others}
    seen = set(targets)
    for position, container in enumerate(found):
        where = path.index(position)
        problems += _common(container, pod, where)
        name = container.get("name", "")
        if name in seen:
            problems.append(duplicate(where.child("name"), name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            problems.append(not_found(where.child("targetContainerName"), target))
        for field_name in _EPHEMERAL_FORBIDDEN:
            if container.get(field_name):
                problems.append(forbidden(where.child(field_name), "cannot be set for an Ephemeral Container"))
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            for field_name in ("subPath", "subPathExpr"):
                if mount.get(field_name):
                    place = where.child("volumeMounts").index(index).child(field_name)
                    problems.append(forbidden(place, "cannot be set for an Ephemeral Container"))
    return problems


def _common(container: dict[str, Any], pod: PodContext, path: Path) -> list[Problem]:
    name, image = container.get("name", ""), container.get("image", "")
    problems = dns_label(name, path.child("name")) if name else [required(path.child("name"))]
    if not image:
        problems.append(required(path.child("image")))
    elif pod.is_pod and image != image.strip():
        problems.append(invalid(path.child("image"), image, "must not have leading or trailing whitespace"))
    problems += one_of(container.get("terminationMessagePolicy"), _TERMINATION, path.child("terminationMessagePolicy"))
    problems += _ports(container.get("ports") or [], path.child("ports"))
    problems += environment(container.get("env") or [], path.child("env"))
    problems += environment_from(container.get("envFrom") or [], path.child("envFrom"))
    problems += _mounts(container, pod, path.child("volumeMounts"))
    problems += _devices(container, pod, path.child("volumeDevices"))
    problems += one_of(container.get("imagePullPolicy"), _PULL, path.child("imagePullPolicy"))
    problems += requirements(container.get("resources") or {}, set(pod.claims), path.child("resources"))
    policies = container.get("resizePolicy") or []
    problems += resize_policies(policies, pod.restart_policy, path.child("resizePolicy"))
    problems += container_security(container.get("securityContext") or {}, path.child("securityContext"))
    return problems


def _running(container: dict[str, Any], pod: PodContext, path: Path) -> list[Problem]:
    problems = lifecycle(container.get("lifecycle") or {}, pod.grace_seconds, path.child("lifecycle"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            problems += probe(name, container[name], path.child(name))
    return problems


def _not_running(container: Object, path: Path) -> list[Problem]:
    """What only a container has that stays."""
    text = "may not be set for init containers without restartPolicy=Always"
    return [
        forbidden(path.child(name), text)
        for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        if container.get(name) is not None
    ]


def _ports(ports: list[dict[str, Any]], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, port in enumerate(ports):
        where = path.index(position)
        if name := port.get("name"):
            texts = names.port_name(name)
            problems += sentences(texts, name, where.child("name"))
            if not texts and name in seen:
                problems.append(duplicate(where.child("name"), name))
            seen.add(name)
        number = port.get("containerPort") or 0
        if number == 0:
            problems.append(required(where.child("containerPort")))
        else:
            problems += sentences(names.port_number(number), number, where.child("containerPort"))
        if host := port.get("hostPort"):
            problems += sentences(names.port_number(host), host, where.child("hostPort"))
        problems += one_of(port.get("protocol"), PROTOCOLS, where.child("protocol"))
    return problems


def _host_ports(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, container in enumerate(found):
        for index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            text = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if text in seen:
                problems.append(duplicate(path.index(position).child("ports").index(index).child("hostPort"), text))
            seen.add(text)
    return problems


def _mounts(container: dict[str, Any], pod: PodContext, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    devices = {each.get("name"): each.get("devicePath") for each in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for position, mount in enumerate(container.get("volumeMounts") or ()):
        where = path.index(position)
        name, target = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            problems.append(required(where.child("name")))
        if name not in pod.volumes:
            problems.append(not_found(where.child("name"), name))
        if not target:
            problems.append(required(where.child("mountPath")))
        if target in seen:
            problems.append(invalid(where.child("mountPath"), target, "must be unique"))
        seen.add(target)
        if name in devices:
            problems.append(invalid(where.child("name"), name, "must not already exist in volumeDevices"))
        if target in devices.values():
            text = "must not already exist as a path in volumeDevices"
            problems.append(invalid(where.child("mountPath"), target, text))
        if "image" in pod.volumes.get(name, {}):
            # The runtime could not be told before 1.33.
            for each in ("subPath", "subPathExpr"):
                if mount.get(each):
                    problems.append(invalid(where.child(each), mount[each], "not allowed in image volume sources"))
        if sub := mount.get("subPath"):
            problems += descending_path(sub, path.child("subPath"))
        if expression := mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                problems.append(invalid(where.child("subPathExpr"), expression, text))
            problems += descending_path(expression, path.child("subPathExpr"))
        propagation = mount.get("mountPropagation")
        supported = ("Bidirectional", "HostToContainer", "None")
        problems += one_of_given(propagation, supported, path.child("mountPropagation"))
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            text = "Bidirectional mount propagation is available only to privileged containers"
            problems.append(forbidden(path.child("mountPropagation"), text))
        problems += _recursive(mount, path.child("recursiveReadOnly"))
    return problems


def _recursive(mount: Object, path: Path) -> list[Problem]:
    """`recursiveReadOnly`: whether what is mounted below is read-only too (KEP-3857)."""
    wanted = mount.get("recursiveReadOnly")
    if wanted in (None, "Disabled"):
        return []
    if wanted not in ("Enabled", "IfPossible"):
        return [not_supported(path, wanted, ("Disabled", "Enabled", "IfPossible"))]
    problems: list[Problem] = []
    if not mount.get("readOnly"):
        problems.append(forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        problems.append(forbidden(path, "may only be specified when mountPropagation is None or not specified"))
    return problems


def _devices(container: dict[str, Any], pod: PodContext, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    mounts = {each.get("name"): each.get("mountPath") for each in container.get("volumeMounts") or ()}
    named: set[str] = set()
    seen: set[str] = set()
    for position, device in enumerate(container.get("volumeDevices") or ()):
        where = path.index(position)
        name, target = device.get("name", ""), device.get("devicePath", "")
        volume = pod.volumes.get(name)
        if not name:
            problems.append(required(where.child("name")))
        if name in named:
            problems.append(invalid(where.child("name"), name, "must be unique"))
        if volume is None:
            problems.append(not_found(where.child("name"), name))
        elif not {"persistentVolumeClaim", "ephemeral"} & set(volume):
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            problems.append(invalid(where.child("name"), name, text))
        if not target:
            problems.append(required(where.child("devicePath")))
        if target in seen:
            problems.append(invalid(where.child("devicePath"), target, "must be unique"))
        if re.search(r"(^|/)\.\.(/|$)", target):
            problems.append(invalid(where.child("devicePath"), target, "can not contain backsteps ('..')"))
        else:
            seen.add(target)
        if name in mounts:
            problems.append(invalid(where.child("name"), name, "must not already exist in volumeMounts"))
        if target in mounts.values():
            text = "must not already exist as a path in volumeMounts"
            problems.append(invalid(where.child("devicePath"), target, text))
        if name:
            named.add(name)
    return problems
