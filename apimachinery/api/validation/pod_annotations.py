"""Annotations of pods that mean something, and that they say what the fields say (pkg/apis/core/validation)."""

import re

from apimachinery.api.validation.checks import Object
from apimachinery.api.validation.volume_sources import descending_path
from apimachinery.meta.paths import Path, Problem, forbidden, invalid
from apimachinery.meta.pods import MIRROR

_COST = "controller.kubernetes.io/pod-deletion-cost"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_PATH = Path("metadata.annotations")
_SPEC = Path("spec")
_LOCAL = "localhost/"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def pod_annotations(obj: Object, path: Path = _PATH) -> list[Problem]:
    """The annotations at `path` of a pod, or of a pod template, on create and on update."""
    spec, found = obj.get("spec") or {}, (obj.get("metadata") or {}).get("annotations") or {}
    problems: list[Problem] = []
    if MIRROR in found and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        problems.append(invalid(path.key(MIRROR), found[MIRROR], text))
    if _COST in found and not _is_int32(found[_COST]):
        problems.append(invalid(path.key(_COST), found[_COST], "must be a 32bit integer"))
    for key, value in found.items():
        if key == _SECCOMP_POD or key.startswith(_SECCOMP_CONTAINER):
            problems += _seccomp(value, path.child(key))
    names = {each.get("name") for kind in _CONTAINERS for each in spec.get(kind) or ()}
    for key, value in found.items():
        if not key.startswith(_APPARMOR):
            continue
        if key.removeprefix(_APPARMOR) not in names:
            problems.append(invalid(path.key(key), key.removeprefix(_APPARMOR), "container not found"))
        if value not in ("", "runtime/default", "unconfined") and not value.startswith(_LOCAL):
            problems.append(invalid(path.key(key), value, f'invalid AppArmor profile name: "{value}"'))
    return problems


def profiles_agree(obj: Object, path: Path = _SPEC) -> list[Problem]:
    """Of a new pod, or of a template whose spec is at `path`: an annotation and the field it stands for name the same
    seccomp or AppArmor profile."""
    spec, found = obj.get("spec") or {}, (obj.get("metadata") or {}).get("annotations") or {}
    if not found:
        return []
    own = spec.get("securityContext") or {}
    windows = (spec.get("os") or {}).get("name") == "windows"
    problems = _agree(found.get(_SECCOMP_POD), own.get("seccompProfile"), "seccomp", path)
    for kind in _CONTAINERS:
        for position, container in enumerate(spec.get(kind) or ()):
            where, context = path.child(kind).index(position), container.get("securityContext") or {}
            name = container.get("name", "")
            problems += _agree(found.get(_SECCOMP_CONTAINER + name), context.get("seccompProfile"), "seccomp", where)
            if not windows:
                profile = context.get("appArmorProfile") or own.get("appArmorProfile")
                problems += _agree(found.get(_APPARMOR + name), profile, "apparmor", where)
    return problems


def _agree(text: str | None, profile: Object | None, word: str, path: Path) -> list[Problem]:
    if text is None or profile is None:
        return []
    where = path.child("securityContext", "seccompProfile" if word == "seccomp" else "appArmorProfile")
    kind = profile.get("type")
    accepted = {"Unconfined": ["unconfined"], "RuntimeDefault": ["runtime/default"]}.get(kind or "", [])
    if word == "seccomp" and kind == "RuntimeDefault":
        accepted.append("docker/default")
    wrong_kind = text not in accepted if accepted else kind == "Localhost" and not text.startswith(_LOCAL)
    if wrong_kind:
        return [forbidden(where.child("type"), f"{word} type in annotation and field must match")]
    if kind == "Localhost" and text.removeprefix(_LOCAL) != profile.get("localhostProfile"):
        return [forbidden(where.child("localhostProfile"), f"{word} profile in annotation and field must match")]
    return []


def pod_annotations_update(new: Object, old: Object) -> list[Problem]:
    """Mirror and AppArmor annotations stay as they were created."""
    after, before = ((each.get("metadata") or {}).get("annotations") or {} for each in (new, old))
    problems: list[Problem] = []
    for key, value in before.items():
        if after.get(key) == value:
            continue
        if key.startswith(_APPARMOR):
            problems.append(forbidden(_PATH.key(key), "may not remove or update AppArmor annotations"))
        if key == MIRROR:
            problems.append(forbidden(_PATH.key(key), "may not remove or update mirror pod annotation"))
    for key in after:
        if key in before:
            continue
        if key.startswith(_APPARMOR):
            problems.append(forbidden(_PATH.key(key), "may not add AppArmor annotations"))
        if key == MIRROR:
            problems.append(forbidden(_PATH.key(key), "may not add mirror pod annotation"))
    return problems


def _is_int32(text: str) -> bool:
    return bool(re.fullmatch("0|-[0-9]{1,10}|[1-9][0-9]{0,9}", text)) and -(2**31) <= int(text) < 2**31


def _seccomp(text: str, path: Path) -> list[Problem]:
    if text in ("runtime/default", "docker/default", "unconfined"):
        return []
    if text.startswith(_LOCAL):
        return descending_path(text.removeprefix(_LOCAL), path)
    return [invalid(path, text, "must be a valid seccomp profile")]
