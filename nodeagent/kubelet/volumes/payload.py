"""The files of configMap, secret, downwardAPI and projected volumes: pure functions from objects to content."""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta.paths import aggregate
from nodeagent.kubelet import downward
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.pods import Pod, common_user

_DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class File:
    """One file of a payload. mode: permission bits; uid: whose it is, None for root's."""

    data: bytes
    mode: int
    uid: int | None = None


Payload = dict[str, File]
"""Content by path relative to the volume."""


class PayloadProblem(Exception):
    """The volume cannot be filled as asked; the text is upstream's."""


def secret_data(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """A Secret's decoded data. What is no base64 (the API refuses it) reads as empty."""
    decoded = {}
    for key, text in (secret.get("data") or {}).items():
        try:
            decoded[key] = base64.b64decode(text)
        except (binascii.Error, ValueError):
            decoded[key] = b""
    return decoded


def config_map_data(config_map: Mapping[str, Any]) -> dict[str, bytes]:
    """A ConfigMap's data and binaryData."""
    data = {key: text.encode() for key, text in (config_map.get("data") or {}).items()}
    for key, text in (config_map.get("binaryData") or {}).items():
        data[key] = base64.b64decode(text)
    return data


def pick(
    data: Mapping[str, bytes], items: Sequence[Mapping[str, Any]] | None, mode: int, *, optional: bool, missing: str
) -> Payload:
    """The files for `data`: all of it, or the named items at their paths. missing: the message for an absent key."""
    if not items:
        return {_safe(key): File(value, mode) for key, value in data.items()}
    payload: Payload = {}
    for item in items:
        if item["key"] not in data:
            if optional:
                continue
            raise PayloadProblem(missing)
        payload[_safe(item["path"])] = File(data[item["key"]], _mode(item.get("mode"), mode))
    return payload


def downward_files(
    pod: Pod, items: Sequence[Mapping[str, Any]] | None, mode: int, ips: Sequence[str], node: NodeFacts
) -> Payload:
    """The files of a downwardAPI source. Raises PayloadProblem with what is wrong with any of its items."""
    payload: Payload = {}
    problems: list[ValueError] = []
    for item in items or ():
        try:
            if "fieldRef" in item:
                text = downward.field_value(pod, item["fieldRef"]["fieldPath"], ips, node)
            else:
                text = downward.resource_value(pod, item["resourceFieldRef"], "", node)
        except ValueError as error:
            problems.append(error)
            continue
        payload[_safe(item["path"])] = File(text.encode(), _mode(item.get("mode"), mode))
    if problems:
        raise PayloadProblem(aggregate(problems))
    return payload


Lookup = Callable[[str, str], Mapping[str, Any] | None]
"""(kind "configMap" or "secret", name) → the object, None when it does not exist. Raises PayloadProblem."""
Token = Callable[[str], str]
"""path → the bound token of the serviceAccountToken source. Raises PayloadProblem."""


def object_files(source: Mapping[str, Any], kind: str, name: str, mode: int, lookup: Lookup) -> Payload:
    """The files of a configMap or secret source."""
    found = lookup(kind, name)
    optional = bool(source.get("optional"))
    word = "configmap" if kind == "configMap" else "secret"
    if found is None:
        if optional:
            return {}
        raise PayloadProblem(f'{word} "{name}" not found')
    data = config_map_data(found) if kind == "configMap" else secret_data(found)
    missing = (
        "configmap references non-existent config key: {}"
        if word == "configmap"
        else ("references non-existent secret key: {}")
    )
    absent = next((item["key"] for item in source.get("items") or () if item["key"] not in data), "")
    return pick(data, source.get("items"), mode, optional=optional, missing=missing.format(absent))


def projected_files(
    pod: Pod,
    source: Mapping[str, Any],
    *,
    lookup: Lookup,
    token: Token,
    ips: Sequence[str],
    node: NodeFacts,
) -> Payload:
    """The files of a projected volume. Raises PayloadProblem with what is wrong with any of its sources."""
    mode = _mode(source.get("defaultMode"), _DEFAULT_MODE)
    payload: Payload = {}
    problems: list[PayloadProblem] = []

    def files(part: Mapping[str, Any]) -> Payload:
        for kind in ("secret", "configMap"):
            if kind in part:
                return object_files(part[kind], kind, part[kind]["name"], mode, lookup)
        if "downwardAPI" in part:
            return downward_files(pod, part["downwardAPI"].get("items"), mode, ips, node)
        if "clusterTrustBundle" in part:
            raise PayloadProblem("ClusterTrustBundle projection is not supported in static kubelet mode")
        if "serviceAccountToken" not in part:
            return {}
        path = part["serviceAccountToken"]["path"]
        return {_safe(path): _token_file(pod, token(path).encode(), mode)}

    for part in source.get("sources") or ():
        try:
            payload |= files(part)
        except PayloadProblem as error:
            problems.append(error)
    if problems:
        raise PayloadProblem(aggregate(problems))
    return payload


def _token_file(pod: Pod, token: bytes, mode: int) -> File:
    """Where the pod says who reads it, nobody else does: the user that all containers run as, and with fsGroup the
    group, which is given what is the owner's (KEP-2451)."""
    uid = common_user(pod)
    grouped = (pod["spec"].get("securityContext") or {}).get("fsGroup") is not None
    return File(token, 0o600 if grouped or uid is not None else mode, uid)


def _mode(asked: Any, otherwise: int) -> int:
    return otherwise if asked is None else int(asked) & 0o777


def default_mode(source: Mapping[str, Any]) -> int:
    return _mode(source.get("defaultMode"), _DEFAULT_MODE)


def _safe(path: str) -> str:
    """The path without `.` and doubled slashes, if it stays in the volume.

    The API validates it; static pods and old objects are not to be trusted.
    """
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise PayloadProblem(f"invalid path: {path!r}")
    return posixpath.normpath(path)
