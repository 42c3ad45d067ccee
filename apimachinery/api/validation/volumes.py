"""Volumes of a pod."""

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.api.validation.checks import Object, dns_label, dns_subdomain, nonnegative, sentences
from apimachinery.api.validation.environment import VOLUME_FIELDS, field_selector, resource_selector
from apimachinery.meta import names, quantity
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_supported, required

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")


def volumes(found: list[dict[str, Any]], path: Path) -> tuple[Mapping[str, Object], list[Problem]]:
    """The sound volumes by name, and all problems."""
    problems: list[Problem] = []
    known: dict[str, Object] = {}
    for position, volume in enumerate(found):
        where = path.index(position)
        name = volume.get("name", "")
        wrong = _source(volume, where)
        if not name:
            wrong.append(required(where.child("name")))
        else:
            wrong += dns_label(name, where.child("name"))
            if name in known:
                wrong.append(duplicate(where.child("name"), name))
        if not wrong:
            known[name] = volume
        problems += wrong
    return known, problems


def descending_path(text: str, path: Path) -> list[Problem]:
    """A relative path that does not climb."""
    if text.startswith("/"):
        return [invalid(path, text, "must be a relative path")]
    return _no_backsteps(text, path)


def _no_backsteps(text: str, path: Path) -> list[Problem]:
    return [invalid(path, text, "must not contain '..'")] if ".." in text.split("/") else []


def _source(volume: Object, path: Path) -> list[Problem]:
    given = [name for name, value in volume.items() if name != "name" and value is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    problems: list[Problem] = []
    check = _SOURCES.get(given[0])
    if check:
        problems += check(volume[given[0]], path.child(given[0]))
    problems += [forbidden(path.child(name), "may not specify more than 1 volume type") for name in given[1:]]
    return problems


def _host_path(source: Object, path: Path) -> list[Problem]:
    text, kind = source.get("path", ""), source.get("type")
    if not text:
        return [required(path.child("path"))]
    problems = _no_backsteps(text, path.child("path"))
    if kind is not None and kind not in _HOST_PATH:
        problems.append(not_supported(path.child("type"), kind, _HOST_PATH))
    return problems


def _empty_dir(source: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit).nano < 0:
        problems.append(forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
    medium = source.get("medium", "")
    if medium not in ("", "Memory") and not medium.startswith("HugePages"):
        problems.append(not_supported(path.child("medium"), medium, ("", "Memory", "HugePages")))
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
    else:
        problems += _local_file(item["path"], path.child("path"))
    return problems + _mode(item, "mode", path)


def _local_file(text: str, path: Path) -> list[Problem]:
    problems = descending_path(text, path)
    if text.startswith("..") and not problems:
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
    for position, item in enumerate(source.get("items") or ()):
        where = path.child("items").index(position)
        text = item.get("path", "")
        problems += _local_file(text, where.child("path")) if text else [required(where.child("path"))]
        if item.get("fieldRef") is not None:
            problems += field_selector(item["fieldRef"], VOLUME_FIELDS, where.child("fieldRef"))
            if item.get("resourceFieldRef") is not None:
                problems.append(
                    invalid(where, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
                )
        elif item.get("resourceFieldRef") is not None:
            problems += resource_selector(item["resourceFieldRef"], where.child("resourceFieldRef"), True)
        else:
            problems.append(required(where.child("fieldRef"), "one of fieldRef and resourceFieldRef is required"))
        problems += _mode(item, "mode", where)
    return problems


def _projected(source: Object, path: Path) -> list[Problem]:
    problems = _mode(source, "defaultMode", path)
    paths: set[str] = set()
    for position, projection in enumerate(source.get("sources") or ()):
        where = path.child("sources").index(position)
        given = [name for name, value in projection.items() if value is not None]
        problems += [forbidden(where.child(name), "may not specify more than 1 volume type") for name in given[1:]]
        if "secret" in projection or "configMap" in projection:
            kind = "secret" if "secret" in projection else "configMap"
            if not projection[kind].get("name"):
                problems.append(required(where.child(kind).child("name")))
            problems += _items(projection[kind], where.child(kind))
        if "downwardAPI" in projection:
            problems += _downward(projection["downwardAPI"], where.child("downwardAPI"))
        if token := projection.get("serviceAccountToken"):
            seconds = token.get("expirationSeconds") or 3600
            place = where.child("serviceAccountToken")
            if seconds < 600:
                problems.append(
                    invalid(
                        place.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes"
                    )
                )
            if seconds > 1 << 32:
                problems.append(
                    invalid(
                        place.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds"
                    )
                )
            if not token.get("path"):
                problems.append(required(place.child("path")))
            elif token["path"] in paths:
                problems.append(invalid(where, token["path"], "conflicting duplicate paths"))
            paths.add(token.get("path", ""))
    return problems


def _claim(source: Object, path: Path) -> list[Problem]:
    return [] if source.get("claimName") else [required(path.child("claimName"))]


def _nfs(source: Object, path: Path) -> list[Problem]:
    problems = [] if source.get("server") else [required(path.child("server"))]
    text = source.get("path", "")
    if not text:
        problems.append(required(path.child("path")))
    elif not text.startswith("/"):
        problems.append(invalid(path.child("path"), text, "must be an absolute path"))
    return problems


def _csi(source: Object, path: Path) -> list[Problem]:
    driver = source.get("driver", "")
    if not driver:
        return [required(path.child("driver"))]
    if len(driver) > 63:
        return sentences([names.max_length_error(63)], driver, path.child("driver"))
    return dns_subdomain(driver.lower(), path.child("driver"))


def _ephemeral(source: Object, path: Path) -> list[Problem]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [required(path.child("volumeClaimTemplate"))]
    spec = template.get("spec") or {}
    where = path.child("volumeClaimTemplate").child("spec")
    problems = (
        [] if spec.get("accessModes") else [required(where.child("accessModes"), "at least 1 access mode is required")]
    )
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        problems.append(required(where.child("resources").key("storage")))
    return problems


def _iscsi(source: Object, path: Path) -> list[Problem]:
    problems = [required(path.child(name)) for name in ("targetPortal", "iqn") if not source.get(name)]
    return problems + nonnegative(source.get("lun"), path.child("lun"))


_SOURCES: dict[str, Callable[[Object, Path], list[Problem]]] = {
    "hostPath": _host_path,
    "emptyDir": _empty_dir,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "iscsi": _iscsi,
}
