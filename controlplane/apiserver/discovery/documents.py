"""Discovery documents: groups, versions, resources; the legacy ones and the aggregated one (KEP-3352)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Catalogue, Resource

Object = dict[str, Any]


def api_versions(address: str) -> Object:
    """/api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group(catalogue: Catalogue, name: str) -> Object | None:
    """/apis/NAME: an APIGroup, or None when it is not served."""
    versions = catalogue.versions().get(name)
    if not name or versions is None:
        return None
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(catalogue: Catalogue) -> Object:
    """/apis."""
    groups = []
    for name in catalogue.versions():
        found = group(catalogue, name)
        if found is not None:
            groups.append({key: value for key, value in found.items() if key not in ("kind", "apiVersion")})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(catalogue: Catalogue, group: str, version: str) -> Object | None:
    """/api/v1 and /apis/GROUP/VERSION: an APIResourceList, or None when it is not served."""
    resources = catalogue.in_version(group, version)
    if not resources:
        return None
    listed: list[Object] = []
    for resource in resources:
        listed.append(_resource(resource))
        for below in resource.subresources:
            entry: Object = {
                "name": f"{resource.plural}/{below.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
            }
            if (below.group, below.version) != (resource.group, resource.version):
                entry["group"], entry["version"] = below.group, below.version
            listed.append({**entry, "kind": below.kind, "verbs": list(below.verbs)})
    where = f"{group}/{version}" if group else version
    document = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": where, "resources": listed}
    return document if group else {key: value for key, value in document.items() if key != "apiVersion"}


def _resource(resource: Resource) -> Object:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs:
        entry["storageVersionHash"] = resource.storage_version_hash
    return entry


def aggregated(catalogue: Catalogue, core: bool) -> Object:
    """/api (core) or /apis as APIGroupDiscoveryList of apidiscovery.k8s.io/v2."""
    items = []
    for name, versions in catalogue.versions().items():
        if (name == "") is not core:
            continue
        listed = [
            {
                "version": version,
                "resources": [_discovered(resource) for resource in catalogue.in_version(name, version)],
                "freshness": "Current",
            }
            for version in versions
        ]
        items.append(
            {
                "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
                "versions": listed,
            }
        )
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _discovered(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": below.name,
                "responseKind": {"group": below.group, "version": below.version, "kind": below.kind},
                "verbs": list(below.verbs),
            }
            for below in resource.subresources
        ]
    return entry
