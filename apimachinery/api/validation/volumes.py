"""Volumes of a pod."""

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.api.validation.checks import Object, dns_label, one_of, sentences
from apimachinery.api.validation.claims import claim_spec
from apimachinery.api.validation.environment import VOLUME_FIELDS, field_selector, resource_selector
from apimachinery.api.validation.metadata import template_meta
from apimachinery.api.validation.syntax import token_seconds
from apimachinery.api.validation.volume_sources import (
    PORTAL_TOO_LONG,
    check_source,
    descending_path,
    portal_too_long,
)
from apimachinery.meta import names, quantity
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, required

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
# What upstream calls a source that is one too many.
_MISSPELT = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def volumes(found: list[dict[str, Any]], path: Path, pod_name: str = "") -> tuple[Mapping[str, Object], list[Problem]]:
    """The sound volumes by name, and all problems. pod_name: of a pod that has one, which names its own claims."""
    problems: list[Problem] = []
    known: dict[str, Object] = {}
    made = {f"{pod_name}-{each.get('name', '')}" for each in found if pod_name and each.get("ephemeral") is not None}
    for position, volume in enumerate(found):
        where = path.index(position)
        name = volume.get("name", "")
        wrong = _source(volume, name, where)
        if pod_name and name and volume.get("ephemeral") is not None:
            claim = f"{pod_name}-{name}"
            texts = [f'PVC name "{claim}": {text}' for text in names.dns1123_subdomain(claim)]
            wrong += sentences(texts, name, where.child("name"))
        if not name:
            wrong.append(required(where.child("name")))
        else:
            wrong += dns_label(name, where.child("name"))
            if name in known:
                wrong.append(duplicate(where.child("name"), name))
        if not wrong:
            known[name] = volume
        problems += wrong
        named = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if named in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            problems.append(invalid(where.child("persistentVolumeClaim", "claimName"), named, text))
    return known, problems


def _source(volume: Object, name: str, path: Path) -> list[Problem]:
    given = [kind for kind in _ORDER if volume.get(kind) is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    first, check = given[0], _SOURCES.get(given[0])
    where = path.child("persistentDisk" if first == "gcePersistentDisk" else first)
    problems = check(volume[first], where) if check else check_source(first, volume[first], where, False)
    if first == "iscsi" and portal_too_long(name, volume[first]):
        problems.append(invalid(path.child("name"), name, PORTAL_TOO_LONG))
    shown = (_MISSPELT.get(kind, kind) for kind in given[1:])
    return problems + [forbidden(path.child(kind), "may not specify more than 1 volume type") for kind in shown]


def _empty_dir(source: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit).nano < 0:
        problems.append(forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
    return problems


def _mode(source: Object, name: str, path: Path) -> list[Problem]:
    mode = source.get(name)
    return [] if mode is None or 0 <= mode <= 0o777 else [invalid(path.child(name), mode, _MODE)]


def _items(source: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for position, item in enumerate(source.get("items") or ()):
        where = path.child("items").index(position)
        problems += _key_to_path(item, where)
    return problems


def _key_to_path(item: Object, path: Path) -> list[Problem]:
    problems = [] if item.get("key") else [required(path.child("key"))]
    if not item.get("path"):
        problems.append(required(path.child("path")))
    problems += _local_file(item.get("path", ""), path.child("path"))
    return problems + _mode(item, "mode", path)


def _local_file(text: str, path: Path) -> list[Problem]:
    problems = descending_path(text, path)
    if text.startswith("..") and not text.startswith("../"):
        problems.append(invalid(path, text, "must not start with '..'"))
    return problems


def _secret(source: Object, path: Path) -> list[Problem]:
    problems = [] if source.get("secretName") else [required(path.child("secretName"))]
    return problems + _mode(source, "defaultMode", path) + _items(source, path)


def _config_map(source: Object, path: Path) -> list[Problem]:
    problems = [] if source.get("name") else [required(path.child("name"))]
    return problems + _mode(source, "defaultMode", path) + _items(source, path)


def _downward(source: Object, path: Path) -> list[Problem]:
    problems = _mode(source, "defaultMode", path)
    for item in source.get("items") or ():
        problems += _downward_file(item, path)
    return problems


def _downward_file(item: Object, path: Path) -> list[Problem]:
    problems = [] if item.get("path") else [required(path.child("path"))]
    problems += _local_file(item.get("path", ""), path.child("path"))
    if item.get("fieldRef") is not None:
        problems += field_selector(item["fieldRef"], VOLUME_FIELDS, path.child("fieldRef"))
        if item.get("resourceFieldRef") is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            problems.append(invalid(path, "resource", text))
    elif item.get("resourceFieldRef") is not None:
        problems += resource_selector(item["resourceFieldRef"], path.child("resourceFieldRef"), True)
    else:
        problems.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return problems + _mode(item, "mode", path)


def _projected(source: Object, path: Path) -> list[Problem]:
    problems = _mode(source, "defaultMode", path)
    taken: set[str] = set()
    for position, projection in enumerate(source.get("sources") or ()):
        where = path.child("sources").index(position)
        given = [kind for kind in _PROJECTIONS if projection.get(kind) is not None]
        for kind in given:
            found = projection[kind]
            problems += _PROJECTIONS[kind](found, where.child(kind), path)
            files = found.get("items") or [] if kind != "serviceAccountToken" else []
            for text in (item.get("path", "") for item in files):
                if text in taken:
                    shown = text if kind == "downwardAPI" else found.get("name", "")
                    problems.append(invalid(path, shown, "conflicting duplicate paths"))
                elif text:
                    taken.add(text)
        if len(given) > 1:
            problems.append(forbidden(where, "may not specify more than 1 volume type per source"))
    return problems


def _projected_files(source: Object, path: Path, outer: Path) -> list[Problem]:
    return ([] if source.get("name") else [required(path.child("name"))]) + _items(source, path)


def _projected_fields(source: Object, path: Path, outer: Path) -> list[Problem]:
    # Upstream does not say which of the items it means.
    return [problem for item in source.get("items") or () for problem in _downward_file(item, path)]


def _projected_token(source: Object, path: Path, outer: Path) -> list[Problem]:
    seconds, where = source.get("expirationSeconds"), path.child("expirationSeconds")
    problems = token_seconds(3600 if seconds is None else seconds, where)
    if not source.get("path"):
        return [*problems, required(outer.child("path"))]
    return problems + _local_file(source["path"], outer.child("path"))


_PROJECTIONS: dict[str, Callable[[Object, Path, Path], list[Problem]]] = {
    "secret": _projected_files,
    "configMap": _projected_files,
    "downwardAPI": _projected_fields,
    "serviceAccountToken": _projected_token,
}


def _claim(source: Object, path: Path) -> list[Problem]:
    return [] if source.get("claimName") else [required(path.child("claimName"))]


def _git_repository(source: Object, path: Path) -> list[Problem]:
    problems = [] if source.get("repository") else [required(path.child("repository"))]
    return problems + descending_path(source.get("directory", ""), path.child("directory"))


def _ephemeral(source: Object, path: Path) -> list[Problem]:
    template, where = source.get("volumeClaimTemplate"), path.child("volumeClaimTemplate")
    if template is None:
        return [required(where)]
    return template_meta(template.get("metadata") or {}, where.child("metadata")) + claim_spec(
        template.get("spec") or {}, where.child("spec")
    )


def _image(source: Object, path: Path) -> list[Problem]:
    problems = [] if source.get("reference") else [required(path.child("reference"))]
    return problems + one_of(source.get("pullPolicy"), PULL_POLICIES, path.child("pullPolicy"))


# In upstream's order, which decides whose check counts when several are given.
_ORDER = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
)
_SOURCES: dict[str, Callable[[Object, Path], list[Problem]]] = {
    "configMap": _config_map,
    "downwardAPI": _downward,
    "emptyDir": _empty_dir,
    "ephemeral": _ephemeral,
    "gitRepo": _git_repository,
    "image": _image,
    "persistentVolumeClaim": _claim,
    "projected": _projected,
    "secret": _secret,
}
