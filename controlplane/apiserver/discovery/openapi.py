"""The OpenAPI documents of everything that is served: built-in kinds and defined ones."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from apimachinery.api.catalogue import Catalogue
from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status
from controlplane.apiserver.discovery.version import version_info
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]


def document_v2(catalogue: Catalogue) -> Object:
    """/openapi/v2."""
    more: Object = {}
    for resource in _defined(catalogue):
        more |= _published().definitions(resource, swagger=True)
    return SCHEMA.openapi_v2(more)


def document_v3(catalogue: Catalogue, path: str) -> Object:
    """/openapi/v3/PATH, as `api/v1` or `apis/apps/v1`. Raises ApiError 404."""
    prefix, _, rest = path.partition("/")
    if prefix not in ("api", "apis") or (prefix == "api") is not ("/" not in rest):
        raise status.path_not_found()
    group, _, version = rest.rpartition("/")
    here = [each for each in _defined(catalogue) if (each.group, each.version) == (group, version)]
    try:
        if not here:
            return SCHEMA.openapi_v3(rest)
        more: Object = {}
        for resource in here:
            more |= _published().definitions(resource)
        return SCHEMA.openapi_v3(rest, more, here)
    except KeyError:
        raise status.path_not_found() from None


def index(catalogue: Catalogue) -> Object:
    """/openapi/v3: where each document is, with a hash that changes when the document does."""
    fixed = _hash(repr(version_info()).encode())
    schemas: dict[str, list[Any]] = {}
    for resource in _defined(catalogue):
        about = [resource.kind, resource.plural, resource.namespaced, resource.definition]
        schemas.setdefault(resource.api_version, []).append(about)
    paths = {}
    for group, versions in catalogue.versions().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            said = schemas.get(f"{group}/{version}")
            tag = fixed if said is None else _hash(orjson.dumps(said))
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={tag}"}
    return {"paths": paths}


def _hash(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest().upper()[:64]


def _defined(catalogue: Catalogue) -> list[DefinedResource]:
    return [each for each in catalogue if isinstance(each, DefinedResource)]


def _published() -> Any:
    from controlplane.apiserver.extensions import publishing

    return publishing
