"""The OpenAPI documents of everything that is served: built-in kinds and defined ones."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from apimachinery.api.catalogue import Catalogue
from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status
from apimachinery.meta.build import version_info
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.strategies.facts import RETURNED

Object = dict[str, Any]


# A namespace's deletion answers with the namespace because it is not gone yet, not because that was promised.
_RETURNED = RETURNED - {"Namespace"}


def document_v2(catalogue: Catalogue) -> Object:
    """/openapi/v2."""
    return SCHEMA.openapi_v2(list(catalogue), _definitions(_defined(catalogue), swagger=True), _RETURNED)


def document_v3(catalogue: Catalogue, path: str) -> Object:
    """/openapi/v3/PATH, as `api/v1`, `apis/apps/v1`, `apis/apps` or `version`. Raises ApiError 404."""
    prefix, _, rest = path.partition("/")
    group, _, version = rest.rpartition("/")
    try:
        if prefix not in ("api", "apis") or not rest or (prefix == "apis" and not group):
            if prefix == "apis" and rest and rest not in catalogue.versions():
                raise status.path_not_found()
            return SCHEMA.openapi_about(path)
        if (prefix == "api") is bool(group):
            raise status.path_not_found()
        here = catalogue.in_version(group, version)
        more = _definitions([each for each in here if isinstance(each, DefinedResource)])
        return SCHEMA.openapi_v3(rest, here, more, _RETURNED)
    except KeyError:
        raise status.path_not_found() from None


def _definitions(resources: list[DefinedResource], *, swagger: bool = False) -> Object:
    if not resources:
        return {}
    # Few servers have defined kinds that anybody asks for.
    from controlplane.apiserver.extensions import publishing

    found: Object = {}
    for resource in resources:
        found |= publishing.definitions(resource, swagger=swagger)
    return found


def index(catalogue: Catalogue) -> Object:
    """/openapi/v3: where each document is, with a hash that changes when the document does."""
    from apimachinery.api.openapi import about

    fixed = _hash(repr(version_info()).encode())
    schemas: dict[str, list[Any]] = {}
    for resource in _defined(catalogue):
        about_it = [resource.kind, resource.plural, resource.namespaced, resource.definition]
        schemas.setdefault(resource.api_version, []).append(about_it)
    tags = dict.fromkeys(about(catalogue.versions()), fixed)
    for group, versions in catalogue.versions().items():
        for version in versions:
            said = schemas.get(f"{group}/{version}")
            tag = fixed if said is None else _hash(orjson.dumps(said))
            tags[f"apis/{group}/{version}" if group else f"api/{version}"] = tag
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={tags[path]}"} for path in sorted(tags)}}


def _hash(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest().upper()[:64]


def _defined(catalogue: Catalogue) -> list[DefinedResource]:
    return [each for each in catalogue if isinstance(each, DefinedResource)]
