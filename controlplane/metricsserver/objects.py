"""NodeMetrics, PodMetrics, their lists and tables, and what the group says of itself. Pure (k8s.io/metrics v1beta1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from apimachinery.meta import times
from apimachinery.meta.quantity import DECIMAL_SI, Quantity, format_bytes, parse

from .storage import Usage, earliest

Object = dict[str, Any]

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
BASE = f"/apis/{API_VERSION}"

_KINDS = {"nodes": "NodeMetrics", "pods": "PodMetrics"}


def node_metrics(node: Mapping[str, Any], usage: Usage, now: datetime) -> Object:
    return {**_head("NodeMetrics", node, now), **_when(usage), "usage": _amounts(usage)}


def pod_metrics(pod: Mapping[str, Any], usages: Mapping[str, Usage], now: datetime) -> Object:
    containers = [{"name": name, "usage": _amounts(usage)} for name, usage in sorted(usages.items())]
    return {**_head("PodMetrics", pod, now), **_when(earliest(usages.values())), "containers": containers}


def list_of(resource: str, items: Sequence[Object]) -> Object:
    return {"kind": f"{_KINDS[resource]}List", "apiVersion": API_VERSION, "metadata": {}, "items": list(items)}


def table_of(items: Sequence[Object], version: str, include: str) -> Object:
    """As kubectl get prints them. include: of includeObject."""
    columns = [
        {"name": "Name", "type": "string", "format": "name", "description": "Name of the resource", "priority": 0},
        *(
            {"name": name, "type": "string", "format": "", "description": text, "priority": 0}
            for name, text in (("cpu", "Usage of cpu"), ("memory", "Usage of memory"), ("Window", "Window"))
        ),
    ]
    rows = []
    for item in items:
        row: Object = {"cells": [item["metadata"]["name"], *_sums(item), item["window"]], "object": item}
        if include == "None":
            del row["object"]
        elif include != "Object":
            partial = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}"}
            row["object"] = {**partial, "metadata": item["metadata"]}
        rows.append(row)
    head = {"kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": {}}
    return {**head, "columnDefinitions": columns, "rows": rows}


def _sums(item: Mapping[str, Any]) -> list[str]:
    usages = [item["usage"]] if "usage" in item else [each["usage"] for each in item["containers"]]
    found = []
    for resource in ("cpu", "memory"):
        total = parse("0")
        for usage in usages:
            total = total + parse(usage[resource])
        found.append(str(total))
    return found


def _head(kind: str, of: Mapping[str, Any], now: datetime) -> Object:
    told = of["metadata"]
    metadata: Object = {"name": told["name"], "creationTimestamp": times.rfc3339(now)}
    if "namespace" in told:
        metadata["namespace"] = told["namespace"]
    if told.get("labels"):
        metadata["labels"] = told["labels"]
    return {"kind": kind, "apiVersion": API_VERSION, "metadata": metadata}


def _when(usage: Usage) -> Object:
    # Milliseconds are what kubelets tell; the rest would be the noise of a subtraction.
    window = times.format_duration(round(usage.window, 3))
    return {"timestamp": times.rfc3339(datetime.fromtimestamp(int(usage.at), UTC)), "window": window}


def _amounts(usage: Usage) -> dict[str, str]:
    return {"cpu": str(Quantity(usage.cpu, DECIMAL_SI)), "memory": format_bytes(usage.memory)}


# --- what the group says of itself


def group_list() -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]}


def group() -> Object:
    return {"kind": "APIGroup", "apiVersion": "v1", **_group()}


def resource_list() -> Object:
    resources = [
        {"name": name, "singularName": "", "namespaced": name == "pods", "kind": kind, "verbs": ["get", "list"]}
        for name, kind in _KINDS.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": resources}


def aggregated_discovery() -> Object:
    resources = [
        {
            "resource": name,
            "responseKind": {"group": GROUP, "version": VERSION, "kind": kind},
            "scope": "Namespaced" if name == "pods" else "Cluster",
            "singularResource": "",
            "verbs": ["get", "list"],
        }
        for name, kind in _KINDS.items()
    ]
    item = {
        "metadata": {"name": GROUP, "creationTimestamp": None},
        "versions": [{"version": VERSION, "resources": resources, "freshness": "Current"}],
    }
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [item]}


def openapi_v3_index() -> Object:
    return {"paths": {f"apis/{API_VERSION}": {"serverRelativeURL": f"/openapi/v3/apis/{API_VERSION}?hash=1"}}}


def openapi_v3() -> Object:
    return {
        "openapi": "3.0.0",
        "info": {"title": "metrics-server", "version": VERSION},
        "paths": _paths(lambda name: {"content": {"application/json": {"schema": {"$ref": _V3 + name}}}}),
        "components": {"schemas": _schemas(_V3)},
    }


def openapi_v2() -> Object:
    return {
        "swagger": "2.0",
        "info": {"title": "metrics-server", "version": VERSION},
        "paths": _paths(lambda name: {"schema": {"$ref": _V2 + name}}),
        "definitions": _schemas(_V2),
    }


_V2, _V3 = "#/definitions/", "#/components/schemas/"
_TYPES = "io.k8s.metrics.pkg.apis.metrics.v1beta1."


def _group() -> Object:
    version = {"groupVersion": API_VERSION, "version": VERSION}
    return {"name": GROUP, "versions": [version], "preferredVersion": version}


def _paths(answer: Any) -> Object:
    found: Object = {}
    for resource, kind in _KINDS.items():
        below = f"{BASE}/namespaces/{{namespace}}/{resource}" if resource == "pods" else f"{BASE}/{resource}"
        for path, verb, name in (
            (f"{BASE}/{resource}", "list", f"{kind}List"),
            (f"{below}/{{name}}", "get", kind),
        ):
            responses = {"200": {"description": "OK", **answer(_TYPES + name)}}
            told = {"group": GROUP, "version": VERSION, "kind": kind}
            marks = {"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": told}
            found[path] = {"get": {"description": f"{verb} objects of kind {kind}", "responses": responses, **marks}}
    return found


def _schemas(reference: str) -> Object:
    quantities = {"type": "object", "additionalProperties": {"type": "string"}}
    text = {"type": "string"}
    head = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}}
    when = {"timestamp": {"type": "string", "format": "date-time"}, "window": text}
    container = {"type": "object", "required": ["name", "usage"], "properties": {"name": text, "usage": quantities}}
    bodies = {
        "NodeMetrics": ("NodeMetrics sets resource usage metrics of a node.", {"usage": quantities}),
        "PodMetrics": (
            "PodMetrics sets resource usage metrics of a pod.",
            {"containers": {"type": "array", "items": {"$ref": f"{reference}{_TYPES}ContainerMetrics"}}},
        ),
    }
    found: Object = {f"{_TYPES}ContainerMetrics": container}
    for kind, (description, own) in bodies.items():
        items = {"type": "array", "items": {"$ref": f"{reference}{_TYPES}{kind}"}}
        for name, properties, text_of in (
            (kind, {**head, **when, **own}, description),
            (f"{kind}List", {**head, "items": items}, f"{kind}List is a list of {kind}."),
        ):
            told = {"group": GROUP, "version": VERSION, "kind": name}
            found[_TYPES + name] = {
                "description": text_of,
                "type": "object",
                "properties": properties,
                "x-kubernetes-group-version-kind": [told],
            }
    return found
