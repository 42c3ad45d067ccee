"""The published OpenAPI documents: 3.0 per group and version, and the Swagger 2.0 document of everything.

What is served is found once (`openapi_operations`) and written down twice. What stock clients read: `kubectl explain`
the schemas by x-kubernetes-group-version-kind and their prose; `kubectl apply` whether PATCH takes `fieldValidation`
and strategic merge patches, and the merge keys; generators of clients all of it.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.openapi_operations import (
    GVK,
    STRING,
    Operation,
    of_group,
    of_server,
    of_version,
    operations,
)
from apimachinery.api.openapi_parameters import Parameter
from apimachinery.api.openapi_schemas import mentioned, openapi, reachable, swagger

Json = dict[str, Any]

_INFO = {"title": "Kubernetes", "version": "v1.32.0"}
_BEARER = {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}
# Never shared between operations: older kubectl looks for dryRun in what PATCH itself lists.
_OWN = ("dryRun", "fieldValidation", "name")


def document_v2(
    definitions: Mapping[str, Any],
    descriptions: Mapping[str, str],
    resources: Sequence[Resource],
    returned: Container[str] = (),
) -> Json:
    """The Swagger 2.0 document of everything: all definitions, and the paths of the resources.

    returned: the kinds whose deletion answers with the object.
    """
    versions = dict.fromkeys((each.group, each.version) for each in resources)
    found = chain(
        operations(resources, _names(definitions), returned),
        (of_version(*each) for each in versions),
        (of_group(group) for group in dict.fromkeys(group for group, _ in versions)),
        of_server().values(),
    )
    shared: dict[Parameter, str] = {}
    items = _items(found)
    uses = Counter(parameter for item in items.values() for each in item for parameter in each.parameters)
    for parameter, count in uses.items():
        if count > 1 and parameter.name not in _OWN:
            shared[parameter] = _shared_name(parameter)
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {path: _item_v2(item, shared) for path, item in sorted(items.items())},
        "definitions": {name: swagger(schema, descriptions, name) for name, schema in definitions.items()},
        "parameters": {name: _parameter_v2(parameter) for parameter, name in shared.items()},
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def document_v3(
    definitions: Mapping[str, Any],
    descriptions: Mapping[str, str],
    group_version: str,
    resources: Sequence[Resource],
    returned: Container[str] = (),
) -> Json:
    """The OpenAPI 3.0 document of one group and version, of which resources are served. Raises KeyError when that is
    nothing."""
    if not resources:
        raise KeyError(group_version)
    group, _, version = group_version.rpartition("/")
    found = chain(operations(resources, _names(definitions), returned), [of_version(group, version)])
    return _document_v3(definitions, descriptions, found)


def document_about(definitions: Mapping[str, Any], descriptions: Mapping[str, str], path: str) -> Json:
    """The OpenAPI 3.0 document of what is about no kind: `version`, `apis`, `apis/apps`. Raises KeyError."""
    found = of_server().get(path)
    if found is None:
        prefix, _, group = path.partition("/")
        if prefix not in ("api", "apis") or "/" in group or (prefix == "api") is bool(group):
            raise KeyError(path)
        found = of_group(group)
    return _document_v3(definitions, descriptions, [found])


def about(groups: Iterable[str]) -> Iterator[str]:
    """The paths of `document_about`: the server's own and those of groups."""
    yield from of_server()
    for group in groups:
        yield f"apis/{group}" if group else "api"


def _document_v3(
    definitions: Mapping[str, Any], descriptions: Mapping[str, str], found: Iterable[Operation]
) -> Json:  # fmt: skip
    paths = {path: _item_v3(item) for path, item in sorted(_items(found).items())}
    wanted = {name for path in paths.values() for name in mentioned(path)}
    schemas = {name: openapi(definitions[name], descriptions, name) for name in sorted(reachable(definitions, wanted))}
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": _BEARER}},
    }


def _names(definitions: Mapping[str, Any]) -> dict[GVK, str]:
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in definitions.items()
        for each in schema.get("x-kubernetes-group-version-kind", ())
    }


def _items(found: Iterable[Operation]) -> dict[str, list[Operation]]:
    items: dict[str, list[Operation]] = {}
    for each in found:
        items.setdefault(each.path, []).append(each)
    return items


def _common(item: Sequence[Operation]) -> list[Parameter]:
    """The parameters that all operations of a path take are the path's."""
    sets = [set(each.parameters) for each in item]
    return sorted(sets[0].intersection(*sets[1:]))


def _own(operation: Operation, common: Container[Parameter]) -> list[Parameter]:
    return sorted(each for each in operation.parameters if each not in common)


def _item_v2(item: Sequence[Operation], shared: Mapping[Parameter, str]) -> Json:
    common = _common(item)
    written: Json = {}
    for operation in item:
        parameters = [_mention(each, shared) for each in _own(operation, common)]
        if operation.body:
            body: Json = {"name": "body", "in": "body", "schema": {"$ref": f"#/definitions/{operation.body}"}}
            parameters.insert(0, {**body, "required": True} if operation.body_required else body)
        one: Json = {
            **_said(operation),
            "produces": operation.produces,
            "schemes": ["https"],
            "responses": _responses(operation, {"schema": _answer(operation, "#/definitions/")}),
        }
        if operation.consumes:
            one["consumes"] = operation.consumes
        if parameters:
            one["parameters"] = parameters
        written[operation.method] = one
    if common:
        written["parameters"] = [_mention(each, shared) for each in common]
    return written


def _item_v3(item: Sequence[Operation]) -> Json:
    common = _common(item)
    written: Json = {}
    for operation in item:
        media = {"schema": _answer(operation, "#/components/schemas/")}
        answer = {"content": dict.fromkeys(operation.produces, media)}
        one: Json = {**_said(operation), "responses": _responses(operation, answer)}
        if parameters := _own(operation, common):
            one["parameters"] = [_parameter_v3(each) for each in parameters]
        if operation.body:
            sent = {"schema": {"$ref": f"#/components/schemas/{operation.body}"}}
            one["requestBody"] = {"content": dict.fromkeys(operation.consumes, sent)}
            if operation.body_required:
                one["requestBody"]["required"] = True
        written[operation.method] = one
    if common:
        written["parameters"] = [_parameter_v3(each) for each in common]
    return written


def _said(operation: Operation) -> Json:
    """What both versions write alike."""
    said: Json = {
        "description": operation.description,
        "operationId": operation.identifier,
        "tags": [operation.tag],
    }
    if operation.action:
        said["x-kubernetes-action"] = operation.action
    if operation.gvk:
        said["x-kubernetes-group-version-kind"] = dict(zip(("group", "version", "kind"), operation.gvk, strict=True))
    return said


def _responses(operation: Operation, answer: Json) -> Json:
    said: Json = {str(code): {"description": text, **answer} for code, text in operation.answers}
    return {**said, "401": {"description": "Unauthorized"}}


def _answer(operation: Operation, prefix: str) -> Json:
    return {"type": "string"} if operation.answer == STRING else {"$ref": prefix + operation.answer}


def _mention(parameter: Parameter, shared: Mapping[Parameter, str]) -> Json:
    name = shared.get(parameter)
    return _parameter_v2(parameter) if name is None else {"$ref": f"#/parameters/{name}"}


def _shared_name(parameter: Parameter) -> str:
    """Changes when the parameter does: generated clients must not take one for the other."""
    return f"{parameter.name}-{sha256(repr(parameter).encode()).hexdigest()[:8]}"


def _parameter_v2(parameter: Parameter) -> Json:
    return {**_named(parameter), "type": parameter.type, "uniqueItems": True}


def _parameter_v3(parameter: Parameter) -> Json:
    return {**_named(parameter), "schema": {"type": parameter.type, "uniqueItems": True}}


def _named(parameter: Parameter) -> Json:
    named: Json = {"name": parameter.name, "in": parameter.where, "description": parameter.description}
    return {**named, "required": True} if parameter.where == "path" else named
