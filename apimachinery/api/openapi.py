"""The published OpenAPI documents: 3.0 per group and version, and the Swagger 2.0 document of everything.

What stock clients read in them: `kubectl explain` the schemas by x-kubernetes-group-version-kind and their prose;
`kubectl apply` whether PATCH takes `fieldValidation` and strategic merge patches, and the merge keys.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apimachinery.api.catalogue import CATALOGUE, Resource

Json = dict[str, Any]

_INFO = {"title": "Kubernetes", "version": "v1.32.0"}
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
_STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_ACTIONS = {
    "get": "get",
    "list": "list",
    "create": "post",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "deletecollection",
}
_PARAMETERS: dict[str, tuple[tuple[str, str], ...]] = {
    "get": (),
    "list": (
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ),
    "post": (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")),
    "put": (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")),
    "patch": (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")),
    "delete": (
        ("dryRun", "string"),
        ("gracePeriodSeconds", "integer"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
    ),
}


def document_v3(
    definitions: Mapping[str, Any],
    descriptions: Mapping[str, str],
    group_version: str,
    resources: Sequence[Resource] | None = None,
    *,
    strategic: bool = True,
) -> Json:
    """The OpenAPI 3.0 document of one group and version. resources: what is served there (else: the catalogue's).
    strategic: whether PATCH takes strategic merge patches. Raises KeyError when nothing is served there."""
    group, _, version = group_version.rpartition("/")
    if resources is None:
        resources = CATALOGUE.in_version(group, version)
    if not resources:
        raise KeyError(group_version)
    names = {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in definitions.items()
        for each in schema.get("x-kubernetes-group-version-kind", ())
    }
    paths: Json = {}
    patches = _PATCH_TYPES if strategic else tuple(each for each in _PATCH_TYPES if "strategic" not in each)
    for resource in resources:
        paths.update(_paths(resource, names, patches))
    wanted = {name for path in paths.values() for name in _mentioned(path)}
    schemas = {
        name: _schema_v3(definitions[name], descriptions, name) for name in sorted(_reachable(definitions, wanted))
    }
    bearer = {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": bearer}},
    }


def document_v2(definitions: Mapping[str, Any], descriptions: Mapping[str, str]) -> Json:
    """The Swagger 2.0 document: all definitions; paths are published in version 3 only."""
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {},
        "definitions": {name: _schema_v2(schema, descriptions, name) for name, schema in definitions.items()},
    }


def _schema_v2(schema: Mapping[str, Any], descriptions: Mapping[str, str], place: str) -> Json:
    out: Json = {}
    if place in descriptions:
        out["description"] = descriptions[place]
    for key, value in schema.items():
        match key:
            case "$ref":
                out[key] = f"#/definitions/{value}"
            case "properties":
                out[key] = {name: _schema_v2(each, descriptions, f"{place}/{name}") for name, each in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = _schema_v2(value, descriptions, f"{place}/*")
            case _:
                out[key] = value
    return out


def _schema_v3(schema: Mapping[str, Any], descriptions: Mapping[str, str], place: str) -> Json:
    if place == _QUANTITY:
        return {"description": descriptions.get(place, ""), "oneOf": [{"type": "string"}, {"type": "number"}]}
    if place == _INT_OR_STRING:
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    out: Json = {}
    if place in descriptions:
        out["description"] = descriptions[place]
    for key, value in schema.items():
        match key:
            case "$ref":
                # A reference may have no siblings in 3.0, so it is wrapped.
                out["allOf"] = [_ref(value)]
            case "properties":
                out[key] = {name: _schema_v3(each, descriptions, f"{place}/{name}") for name, each in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = _schema_v3(value, descriptions, f"{place}/*")
            case _:
                out[key] = value
    return out


def _paths(
    resource: Resource, names: Mapping[tuple[str, str, str], str], patches: tuple[str, ...]
) -> Iterator[tuple[str, Json]]:
    space = "{namespace}" if resource.namespaced else None
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    body = names[resource.gvk]
    whole_list = names.get((resource.group, resource.version, resource.list_kind), body)
    collection = [_ACTIONS[verb] for verb in ("list", "create", "deletecollection") if verb in resource.verbs]
    single = [_ACTIONS[verb] for verb in ("get", "update", "patch", "delete") if verb in resource.verbs]
    for path, actions in (
        (_template(resource.path(), None), ["list"] if resource.namespaced and "list" in collection else []),
        (_template(resource.path("NS"), space), collection),
        (_template(resource.path("NS", "NAME"), space), single),
    ):
        if actions:
            yield path, _item(path, actions, gvk, body, whole_list, patches)
    for below in resource.subresources:
        kind = (below.group, below.version, below.kind)
        if kind not in names:
            continue  # exec, attach, port-forward and proxy take their options in the query
        path = _template(resource.path("NS", "NAME", below.name), space)
        actions = [_ACTIONS[verb] for verb in below.verbs]
        about = {"group": below.group, "version": below.version, "kind": below.kind}
        yield path, _item(path, actions, about, names[kind], names[kind], patches)


def _template(path: str, space: str | None) -> str:
    return path.replace("/NAME", "/{name}").replace("/namespaces/NS", "/namespaces/{namespace}" if space else "")


def _item(path: str, actions: list[str], gvk: Json, body: str, whole_list: str, patches: tuple[str, ...]) -> Json:
    item: Json = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
            for name in ("name", "namespace")
            if f"{{{name}}}" in path
        ]
    }
    for action in actions:
        method = {"list": "get", "deletecollection": "delete"}.get(action, action)
        item[method] = _operation(action, gvk, body, whole_list, patches)
    return item


def _operation(action: str, gvk: Json, body: str, whole_list: str, patches: tuple[str, ...]) -> Json:
    parameters = _PARAMETERS[{"deletecollection": "delete"}.get(action, action)]
    answer = {"list": whole_list, "delete": _STATUS, "deletecollection": _STATUS}.get(action, body)
    operation: Json = {
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}} for name, kind in parameters
        ],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": _ref(answer)}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": {"schema": _ref(body)}}, "required": True}
    elif action == "patch":
        content = {media_type: {"schema": _ref(_PATCH)} for media_type in patches}
        operation["requestBody"] = {"content": content, "required": True}
    elif action in ("delete", "deletecollection"):
        operation["requestBody"] = {"content": {"*/*": {"schema": _ref(_DELETE_OPTIONS)}}}
    return operation


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _mentioned(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _mentioned(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mentioned(value)


def _reachable(definitions: Mapping[str, Any], roots: set[str]) -> set[str]:
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(_mentioned(definitions[name]))
    return seen
