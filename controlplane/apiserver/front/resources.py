"""Requests on resources: from HTTP to the verbs of the registry and back."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.meta import fields, status
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.union import Union
from controlplane.apiserver.front import decode, responses
from controlplane.apiserver.front.negotiate import Accepted, accept
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.registry import patch as patches
from controlplane.apiserver.registry.apply import apply
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call, check_options
from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.conversion import convert
from controlplane.apiserver.registry.create import create
from controlplane.apiserver.registry.delete import DeleteOptions, delete, delete_collection, delete_options
from controlplane.apiserver.registry.options import list_options
from controlplane.apiserver.registry.read import get_entry, list_page
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.selection import Selection, selection
from controlplane.apiserver.registry.update import update
from controlplane.apiserver.registry.watch import bookmark, open_watch
from controlplane.apiserver.storage.cache_entries import WatchEvent
from controlplane.apiserver.strategies.subresources import WHOLE, Subresources
from controlplane.apiserver.tables.render import Tables

Object = dict[str, Any]

MIN_WATCH = 1800.0
"""Seconds a watch lasts at least when the client names no timeout; up to twice as long, so that not all end at once
(--min-request-timeout)."""


class Resources:
    """Serves every path under /api and /apis that names a resource."""

    def __init__(self, registry: Registry, subresources: Subresources, authorizer: Union, tables: Tables) -> None:
        self._registry, self._subresources = registry, subresources
        self._authorizer, self._tables = authorizer, tables

    async def serve(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """Raises ApiError."""
        resource = CATALOGUE.find(info.group, info.version, info.resource)
        if resource is None or (info.namespace and not resource.namespaced and resource.plural != "namespaces"):
            raise status.path_not_found()
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
        verbs = resource.verbs
        if info.subresource:
            about = resource.subresource(info.subresource)
            if about is None or info.subresource not in WHOLE:
                return await self._subresources.serve(request, info, call)
            verbs = about.verbs
        if info.verb not in verbs or (info.verb in ("update", "patch") and not info.name):
            raise _not_allowed()
        if resource.namespaced and not namespace and info.verb not in ("list", "watch", "deletecollection"):
            raise _not_allowed() if info.verb == "create" else status.path_not_found()
        if (virtual := self._subresources.virtual(resource)) is not None:
            return await virtual(request, call)
        collection = self._registry.of(resource)
        match info.verb:
            case "get":
                return await self._get(request, call, collection)
            case "list":
                return await self._list(request, call, collection)
            case "watch":
                return await self._watch(request, call, collection)
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
                return self._written(request, call, await delete(collection, call, options), 200)
            case _:
                return await self._delete_collection(request, call, collection)

    async def _body(self, request: web.BaseRequest, call: Call, kind: str) -> Any:
        call.dry_run = check_options(kind, call.query, request.query.getall("dryRun", []))
        data = await decode.read_body(request)
        return decode.decode(data, request.headers.get("Content-Type"))

    async def _get(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        wanted = accept(request.headers.get("Accept", ""))
        options = list_options({"resourceVersion": call.query.get("resourceVersion", "")}, watch=False)
        entry = await get_entry(collection, call.namespace, call.name, options.revision)
        if not wanted.kind and call.resource is collection.resource:
            return responses.body(request, entry.served, media=wanted.media)
        obj = convert(orjson.loads(entry.served), call.resource)
        return self._shown(request, call, obj, wanted, 200)

    async def _list(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        wanted = accept(request.headers.get("Accept", ""))
        options = list_options(call.query, watch=False)
        listed = await list_page(collection, call.namespace, selection(collection.strategy, call.query), options)
        resource, metadata = call.resource, listed.metadata()
        if wanted.kind == "Table":
            objects = [convert(orjson.loads(entry.served), resource) for entry in listed.page.entries]
            table = self._tables.table(resource, objects, wanted.version, call.query.get("includeObject", ""))
            return responses.document(request, {**table, "metadata": metadata}, media=wanted.media)
        kind, version, items = resource.list_kind, resource.api_version, [e.served for e in listed.page.entries]
        if wanted.kind:
            kind, version = "PartialObjectMetadataList", f"meta.k8s.io/{wanted.version}"
            items = [orjson.dumps(partial(orjson.loads(item), wanted.version)) for item in items]
        elif resource is not collection.resource:
            items = [orjson.dumps(convert(orjson.loads(item), resource)) for item in items]
        head = orjson.dumps({"kind": kind, "apiVersion": version, "metadata": metadata})
        return responses.body(request, head[:-1] + b',"items":[' + b",".join(items) + b"]}", media=wanted.media)

    async def _watch(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.StreamResponse:
        wanted = accept(request.headers.get("Accept", ""))
        options = list_options(call.query, watch=True)
        chosen = selection(collection.strategy, call.query)
        if call.name and chosen.fields.requires("metadata.name") is None:
            # The old spelling, /api/v1/watch/…/NAME.
            chosen = Selection(
                chosen.labels, fields.Selector((*chosen.fields.terms, fields.Term("metadata.name", "=", call.name)))
            )
        timeout = options.timeout if options.timeout else random.uniform(MIN_WATCH, 2 * MIN_WATCH)
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        try:
            watch = await open_watch(collection, call.namespace, chosen, options)
        except status.ApiError as error:
            if not status.is_expired(error):
                raise
            await response.prepare(request)
            await response.write(orjson.dumps({"type": "ERROR", "object": error.to_status()}) + b"\n")
            return response
        frames = _Frames(call.resource, collection.resource, wanted, self._tables, call.query.get("includeObject", ""))
        async with watch:
            await response.prepare(request)
            try:
                async with asyncio.timeout(timeout):
                    while batch := await watch.batch():
                        await response.write(b"".join([frames.line(event) for event in batch]))
            except TimeoutError:
                pass
        return response

    async def _patch(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        media = decode.media_type(request.headers.get("Content-Type"))
        if media not in patches.ACCEPTED:
            raise status.unsupported_media_type(media, patches.ACCEPTED)
        call.dry_run = check_options("PatchOptions", call.query, request.query.getall("dryRun", []))
        data = await decode.read_body(request)
        if media == patches.APPLY:
            obj, created = await apply(collection, call, decode.decode_yaml(data))
            return self._written(request, call, obj, 201 if created else 200)
        document = decode.decode_json(data)
        return self._written(request, call, await patches.patch(collection, call, document, media), 200)

    async def _delete_options(self, request: web.BaseRequest, call: Call) -> DeleteOptions:
        data = await decode.read_body(request)
        document: Object = {}
        if data:
            decoded = decode.decode(data, request.headers.get("Content-Type"))
            if isinstance(decoded, dict) and str(decoded.get("apiVersion", "")).endswith("/v1"):
                decoded["apiVersion"] = "v1"  # every group registers DeleteOptions
            document = read(call, decoded, "", "v1", "DeleteOptions")
        asked: list[str] = document.get("dryRun") or []
        call.dry_run = check_options("DeleteOptions", {}, asked or request.query.getall("dryRun", []))
        return delete_options(document, call.query)

    async def _delete_collection(self, request: web.BaseRequest, call: Call, collection: Collection) -> web.Response:
        options = await self._delete_options(request, call)
        chosen = selection(collection.strategy, call.query)
        deleted = await delete_collection(collection, call, options, chosen)
        revision = max((int(obj["metadata"]["resourceVersion"]) for obj in deleted), default=0)
        listed = {
            "kind": call.resource.list_kind,
            "apiVersion": call.resource.api_version,
            "metadata": {"resourceVersion": str(revision)} if revision else {},
            "items": deleted,
        }
        return responses.document(request, listed)

    def _written(self, request: web.BaseRequest, call: Call, obj: Object, code: int) -> web.Response:
        wanted = accept(request.headers.get("Accept", ""), transforms=obj.get("kind") != "Status")
        return self._shown(request, call, obj, wanted, code)

    def _shown(self, request: web.BaseRequest, call: Call, obj: Object, wanted: Accepted, code: int) -> web.Response:
        if wanted.kind == "Table" and obj.get("kind") == call.resource.kind:
            table = self._tables.table(call.resource, [obj], wanted.version, call.query.get("includeObject", ""))
            obj = {**table, "metadata": {"resourceVersion": obj["metadata"].get("resourceVersion", "")}}
        elif wanted.kind and obj.get("kind") == call.resource.kind:
            obj = partial(obj, wanted.version)
        return responses.document(request, obj, code=code, media=wanted.media, warnings=call.warnings)


class _Frames:
    """The lines of one watch, in the shape its client asked for."""

    def __init__(
        self, resource: Resource, stored: Resource, wanted: Accepted, tables: Tables, include_object: str
    ) -> None:
        self._resource, self._wanted, self._tables, self._include = resource, wanted, tables, include_object
        self._plain = resource is stored and not wanted.kind
        self._headed = False

    def line(self, event: WatchEvent[Attributes]) -> bytes:
        if event.entry is None:
            kind, version = self._resource.kind, self._resource.api_version
            if self._wanted.kind:
                kind, version = self._wanted.kind, f"meta.k8s.io/{self._wanted.version}"
            return b'{"type":"BOOKMARK","object":%b}\n' % bookmark(version, kind, event)
        if self._plain:
            return event.frame
        obj = convert(orjson.loads(event.entry.served), self._resource)
        if self._wanted.kind == "Table":
            table = self._tables.table(self._resource, [obj], self._wanted.version, self._include)
            if self._headed:
                table["columnDefinitions"] = []
            self._headed = True
            obj = {**table, "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}}
        elif self._wanted.kind:
            obj = partial(obj, self._wanted.version)
        return orjson.dumps({"type": event.type, "object": obj}) + b"\n"


def partial(obj: Object, version: str) -> Object:
    """The object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def _not_allowed() -> status.ApiError:
    sentence = "the server does not allow this method on the requested resource"
    return status.ApiError(405, "MethodNotAllowed", sentence, {})
