"""Discovery and OpenAPI documents of several servers, made one (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apimachinery.meta.versions import preference

Object = dict[str, Any]

APIREGISTRATION = {"apiregistration.k8s.io": ["v1"]}
"""The aggregator's own group, which stands first and has no APIService."""
_DEFAULT_GROUP, _DEFAULT_VERSION = 1000, 15
_SHARED = ("definitions", "parameters")


def api_group(name: str, versions: Iterable[str]) -> Object:
    """An APIGroup, without kind and apiVersion."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(groups: Mapping[str, Iterable[str]]) -> Object:
    """/apis: an APIGroupList."""
    listed = [api_group(name, versions) for name, versions in {**APIREGISTRATION, **groups}.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def merged_discovery(
    local: Iterable[Mapping[str, Any]],
    remote: Mapping[tuple[str, str], Mapping[str, Any]],
    groups: Mapping[str, int],
    versions: Mapping[tuple[str, str], int],
) -> list[Object]:
    """The items of an APIGroupDiscoveryList: the local ones with the APIVersionDiscovery of each remote (group,
    version). groups, versions: priorities; upstream's defaults stand in for missing ones."""
    found: dict[str, tuple[Object, dict[str, Mapping[str, Any]]]] = {}
    for item in local:
        name = (item.get("metadata") or {}).get("name") or ""
        found[name] = dict(item), {each["version"]: each for each in item.get("versions") or []}
    for (group, version), entry in remote.items():
        blank = {"metadata": {"name": group, "creationTimestamp": None}}
        found.setdefault(group, (blank, {}))[1][version] = entry

    def by_priority(name: str) -> tuple[bool, int, str]:
        return name not in APIREGISTRATION, -groups.get(name, _DEFAULT_GROUP), name

    def ordered(name: str, held: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        def key(version: str) -> tuple[int, tuple[int, int, int, str]]:
            return -versions.get((name, version), _DEFAULT_VERSION), preference(version)

        return [held[version] for version in sorted(held, key=key)]

    return [{**found[name][0], "versions": ordered(name, found[name][1])} for name in sorted(found, key=by_priority)]


def discovered_resources(listed: Iterable[Mapping[str, Any]], group: str, version: str) -> list[Object]:
    """An APIResourceList's resources as an APIVersionDiscovery has them: subresources below their parents."""
    found: dict[str, Object] = {}
    for each in listed:
        plural, _, below = str(each["name"]).partition("/")
        kind = {
            "group": each.get("group") or group,
            "version": each.get("version") or version,
            "kind": each.get("kind") or "",
        }
        scope = "Namespaced" if each.get("namespaced") else "Cluster"
        if below:
            parent = found.setdefault(plural, {"resource": plural, "responseKind": {}, "scope": scope, "verbs": []})
            entry = {"subresource": below, "responseKind": kind, "verbs": each.get("verbs") or []}
            parent.setdefault("subresources", []).append(entry)
            continue
        entry = {
            "resource": plural,
            "responseKind": kind,
            "scope": scope,
            "singularResource": each.get("singularName") or "",
            "verbs": each.get("verbs") or [],
        }
        for key in ("shortNames", "categories"):
            if each.get(key):
                entry[key] = each[key]
        found[plural] = {**found.get(plural, {}), **entry}
    return list(found.values())


def merged_openapi(local: Object, remote: Iterable[tuple[str, Mapping[str, Any]]]) -> Object:
    """One Swagger 2.0 document: the local one with the paths below each prefix of a remote document, and the
    definitions and shared parameters they need. One of the same name that differs is renamed (`NAME_v2`), as upstream
    does."""
    paths = dict(local.get("paths") or {})
    merged = {section: dict(local.get(section) or {}) for section in _SHARED}
    for prefix, document in remote:
        renamed: dict[str, str] = {}

        def rename(reference: str, names: Mapping[str, str] = renamed) -> str:
            return names.get(reference, reference)

        theirs: Object = {}
        for section in _SHARED:
            held = document.get(section) or {}
            # Definitions are first: a parameter that means one by another name is another parameter.
            bodies = held if section == "definitions" else {name: _renamed(body, rename) for name, body in held.items()}
            free = {name: _free_name(name, body, merged[section]) for name, body in bodies.items()}
            renamed |= {f"#/{section}/{name}": f"#/{section}/{other}" for name, other in free.items()}
            theirs |= {renamed[f"#/{section}/{name}"]: body for name, body in held.items()}
        chosen = {
            path: _renamed(item, rename)
            for path, item in (document.get("paths") or {}).items()
            if path == prefix or path.startswith(prefix + "/")
        }
        paths.update(chosen)
        for reference, body in _needed(chosen, {key: _renamed(body, rename) for key, body in theirs.items()}).items():
            _, section, name = reference.split("/", 2)
            merged[section][name] = body
    return {**local, "paths": paths, **{section: found for section, found in merged.items() if found}}


def _free_name(name: str, body: Any, taken: Mapping[str, Any]) -> str:
    found, number = name, 1
    while found in taken and taken[found] != body:
        number += 1
        found = f"{name}_v{number}"
    return found


def _renamed(node: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(node, Mapping):
        return {
            key: rename(value) if key == "$ref" and isinstance(value, str) else _renamed(value, rename)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_renamed(each, rename) for each in node]
    return node


def _needed(paths: Any, shared: Mapping[str, Any]) -> Object:
    """What paths refer to, and what that refers to, by reference."""
    found: Object = {}
    waiting: list[Any] = [paths]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key == "$ref" and isinstance(value, str):
                    if value in shared and value not in found:
                        found[value] = shared[value]
                        waiting.append(shared[value])
                else:
                    waiting.append(value)
        elif isinstance(node, list):
            waiting.extend(node)
    return found
