"""Requests on resources: from HTTP to the verbs of the registry and back."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import Catalogue
from apimachinery.api.validation.metadata import path_segment
from apimachinery.meta import status
from controlplane.apiserver.audit.trail import remember, trail_of
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.union import Union
from controlplane.apiserver.front import decode, lists, metering, responses
from controlplane.apiserver.front.negotiate import JSON, Accepted, accept, listed, look_at_route
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.shapes import partial, unlike, untyped
from controlplane.apiserver.front.watching import MIN_WATCH, serve_watch
from controlplane.apiserver.registry import patch as patches
from controlplane.apiserver.registry.apply import apply
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call, check_options
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted, served_as_stored
from controlplane.apiserver.registry.create import create
from controlplane.apiserver.registry.delete import DeleteOptions, delete, delete_collection, delete_options
from controlplane.apiserver.registry.history import object_history
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.options import boolean, get_options, list_options
from controlplane.apiserver.registry.read import get_entry, list_page
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.selection import selection
from controlplane.apiserver.registry.update import update
from controlplane.apiserver.strategies.subresources import STREAMS, WHOLE, Subresources
from controlplane.apiserver.tables.render import Tables

Object = dict[str, Any]

_LISTING = ("list", "watch")
_NAMING = ("get", "update", "patch", "delete")
_WRITING = ("create", "update", "patch", "delete", "deletecollection")


class Resources:
    """Serves every path under /api and /apis that names a resource."""

    def __init__(
        self,
        registry: Registry,
        subresources: Subresources,
        authorizer: Union,
        tables: Tables,
        min_watch: float = MIN_WATCH,
    ) -> None:
        """min_watch: seconds that a watch lasts at least when the client names no timeout; 0: as long as it likes."""
        self._registry, self._subresources = registry, subresources
        self._authorizer, self._tables, self._min_watch = authorizer, tables, min_watch

    @property
    def own(self) -> Catalogue:
        """What is served without any definition."""
        return self._registry.own

    @property
    def catalogue(self) -> Catalogue:
        """Everything that is served now; another object whenever that changes."""
        return self._registry.catalogue

    async def count_objects(self) -> None:
        """Bring apiserver_storage_objects up to date."""
        await self._registry.counted.update(self.catalogue)

    async def serve(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """Raises ApiError."""
        resource = await self._registry.find(info.group, info.version, info.resource)
        if resource is None or (info.namespace and not resource.namespaced and resource.plural != "namespaces"):
            raise status.path_not_found() if info.group in self._registry.own.versions() else status.NoSuchPath()
        if request.method == "HEAD" and info.subresource != "proxy" and not isinstance(resource, DefinedResource):
            raise status.no_such_method()
        if info.verb in _NAMING and (why := path_segment(info.name)):
            raise status.bad_request(f'Name parameter invalid: "{info.name}": {";".join(why)}')
        namespace = info.namespace if resource.namespaced else ""
        call = Call(
            user,
            resource,
            info.verb,
            namespace,
            info.name,
            self._authorizer.authorize,
            info.subresource,
            request.query,
            request.headers.get("User-Agent", ""),
        )
        if (trail := trail_of(request)) is not None:
            call.annotations = trail.annotations
        if isinstance(resource, DefinedResource) and resource.rules.warning:
            call.warn(resource.rules.warning)
            metering.deprecated(call)
        verbs = resource.verbs
        if info.subresource:
            about = resource.subresource(info.subresource)
            if about is None or info.subresource not in WHOLE:
                if about is not None and info.verb in about.verbs and info.subresource not in STREAMS:
                    self._look_at_route(request, call)
                return await self._subresources.serve(request, info, call)
            verbs = about.verbs
        if info.verb == "create" and isinstance(resource, DefinedResource) and "create" not in verbs and not info.name:
            sentence = "create not allowed while custom resource definition is terminating"
            raise status.ApiError(405, "MethodNotAllowed", sentence, {})
        if info.verb not in verbs or (info.verb in ("update", "patch") and not info.name):
            raise status.no_such_method()
        if info.verb == "create" and info.name:
            raise status.no_such_method()
        if resource.namespaced and not namespace and info.verb not in ("list", "watch"):
            # Of all namespaces at once things are only read.
            listed_at_all = info.verb in ("create", "deletecollection") and "list" in verbs
            raise status.no_such_method() if listed_at_all else status.path_not_found()
        self._look_at_route(request, call)
        if (virtual := self._subresources.virtual(resource)) is not None:
            return await virtual(request, call)
        collection = self._registry.of(resource)
        if info.verb in _WRITING:
            _wanted(request, call)  # an answer that the client would not read is refused before anything is written
        match info.verb:
            case "get":
                return await self._get(request, call, collection)
            case "list":
                return await self._list(request, call, collection)
            case "watch":
                return await serve_watch(
                    request, call, collection, self._tables, self._registry.revision_at, self._min_watch
                )
            case "create":
                document = await self._body(request, call, "CreateOptions")
                return self._written(request, call, await create(collection, call, document), 201)
            case "update":
                document = await self._body(request, call, "UpdateOptions")
                obj, created = await update(collection, call, document)
                return self._written(request, call, obj, 201 if created else 200)
            case "patch":
                return await self._patch(request, call, collection)
            case "delete":
                options = await self._delete_options(request, call)
                obj, gone = await delete(collection, call, options)
                return self._written(request, call, obj, 202 if options.orphan is False and not gone else 200)
            case _:
                return await self._delete_collection(request, call, collection)

    def _look_at_route(self, request: web.BaseRequest, call: Call) -> None:
        """Raises ApiError 406 or 415 for headers that the router of what is built in (go-restful) refuses by itself."""
        if isinstance(call.resource, DefinedResource):
            return
        if call.verb == "patch":
            media = listed(request.headers.get("Content-Type", ""))
            if media.isdisjoint(patches.ACCEPTED):
                if request.content_length:
                    raise status.not_routed(415)
                raise status.not_routed(406 if "Content-Length" in request.headers else 415, ())
        look_at_route(request.headers.get("Accept", ""), streamed=call.verb in _LISTING)

    async def _body(self, request: web.BaseRequest, call: Call, kind: str) -> Any:
        call.dry_run = check_options(kind, call.query, request.query.getall("dryRun", []))
        data = await decode.read_body(request)
        document = await decode.document_of(
            data, request.headers.get("Content-Type"), call.collected, call.resource.kind
        )
        remember(request, document)
        return document

    async def _get(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        if boolean(call.query.get("history", "0")):
            timeline = self._registry.timeline
            found = await object_history(collection, timeline, call.resource, call.namespace, call.name)
            return responses.document(request, found)
        wanted = _wanted(request, call)
        options = get_options(call.query, self._registry.revision_at)
        entry = await get_entry(collection, call.namespace, call.name, options)
        if not wanted.kind and served_as_stored(call.resource, collection.resource):
            return responses.body(request, entry.served, media=wanted.media, warnings=call.warnings)
        obj = await converted(orjson.loads(entry.served), call.resource)
        return self._shown(request, call, obj, wanted, 200)

    async def _list(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        wanted = _wanted(request, call)
        if wanted.kind == "PartialObjectMetadata":
            raise unlike(wanted.kind, "a list", call.resource.list_kind, call.resource.group)
        if wanted.kind == "Table":
            self._tables.check(call.query.get("includeObject", ""))
        options = list_options(call.query, watch=False, revision_at=self._registry.revision_at)
        chosen = selection(collection.strategy, call.resource, call.query, call.name)
        page = await list_page(collection, call.namespace, chosen, options)
        response = await lists.answer(request, call, collection, page, wanted, self._tables)
        responses.warn(response, call.warnings)
        return response

    async def _patch(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        media = decode.media_type(request.headers.get("Content-Type"))
        accepted = patches.accepted(call.resource)
        if media not in accepted:
            raise status.unsupported_media_type(media, accepted)
        dry_run = request.query.getall("dryRun", [])
        call.dry_run = check_options("PatchOptions", call.query, dry_run, applying=media == patches.APPLY)
        data = await decode.read_body(request)
        doubled = call.collected
        document = await decode.yaml_of(data, doubled) if media == patches.APPLY else decode.decode_json(data, doubled)
        if media == patches.JSON:
            patches.look_at_operations(call, document)
        remember(request, document)
        if media == patches.APPLY:
            obj, created = await apply(collection, call, document)
            return self._written(request, call, obj, 201 if created else 200)
        return self._written(request, call, await patches.patch(collection, call, document, media), 200)

    async def _delete_options(self, request: web.BaseRequest, call: Call) -> DeleteOptions:
        data = await decode.read_body(request)
        document: Object | None = None
        asked: list[str] = request.query.getall("dryRun", [])
        if data:
            decoded = await decode.document_of(data, request.headers.get("Content-Type"), kind="DeleteOptions")
            if isinstance(decoded, dict) and str(decoded.get("apiVersion", "")).endswith("/v1"):
                decoded["apiVersion"] = "v1"  # every group registers DeleteOptions
            remember(request, decoded)
            document = read(call, decoded, "", "v1", "DeleteOptions")
            asked = document.get("dryRun") or []
        call.dry_run = check_options("DeleteOptions", {}, asked)
        return delete_options(document, call.query)

    async def _delete_collection(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        listing = list_options(call.query, watch=False, revision_at=self._registry.revision_at)
        chosen = selection(collection.strategy, call.resource, call.query)
        options = await self._delete_options(request, call)
        deleted, about = await delete_collection(collection, call, options, chosen, listing)
        told = {
            "kind": call.resource.list_kind,
            "apiVersion": call.resource.api_version,
            "metadata": about,
            "items": deleted if isinstance(call.resource, DefinedResource) else [untyped(obj) for obj in deleted],
        }
        return responses.document(request, told, warnings=call.warnings)

    def _written(self, request: web.BaseRequest, call: Call, obj: Object, code: int) -> web.Response:
        return self._shown(request, call, obj, _wanted(request, call), code)

    def _shown(self, request: web.BaseRequest, call: Call, obj: Object, wanted: Accepted, code: int) -> web.Response:
        if not wanted.kind and wanted.media == JSON and (served := call.served(obj)) is not None:
            return responses.body(request, served, code=code, warnings=call.warnings)
        if wanted.kind == "Table" and obj.get("kind") == call.resource.kind:
            table = self._tables.table(call.resource, [obj], wanted.version, call.query.get("includeObject", ""))
            obj = {**table, "metadata": {"resourceVersion": obj["metadata"].get("resourceVersion", "")}}
        elif wanted.kind and obj.get("kind") == call.resource.kind:
            if wanted.kind == "PartialObjectMetadataList":
                raise unlike(wanted.kind, "not a list", call.resource.kind, call.resource.group)
            obj = partial(obj, wanted.version)
        return responses.document(request, obj, code=code, media=wanted.media, warnings=call.warnings)


def _wanted(request: web.BaseRequest, call: Call) -> Accepted:
    return accept(request.headers.get("Accept", ""), protobuf=not isinstance(call.resource, DefinedResource))
