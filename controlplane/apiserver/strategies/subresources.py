"""Paths below an object that are not the object: scale, binding, eviction, tokens, streams; and kinds never stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from apimachinery.api.catalogue import PODS, Resource
from apimachinery.meta import status, times
from controlplane.apiserver.admission.connect import admit_connect
from controlplane.apiserver.audit.trail import remember
from controlplane.apiserver.front import decode, responses
from controlplane.apiserver.front.negotiate import Accepted, accept
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.shapes import partial, unlike
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call, check_options
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.metadata import place_in_namespace
from controlplane.apiserver.registry.patch import ACCEPTED, APPLY, JSON, MERGE, STRATEGIC
from controlplane.apiserver.registry.race import Raced, begin_change
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import MAX_ATTEMPTS
from controlplane.apiserver.strategies.component_status import ComponentStatuses
from controlplane.apiserver.strategies.eviction import evict
from controlplane.apiserver.strategies.pod import bound
from controlplane.apiserver.strategies.reviews import Reviews
from controlplane.apiserver.strategies.scale import apply_scale, get_scale, update_scale
from controlplane.apiserver.strategies.token_request import TokenRequests
from controlplane.apiserver.streams.pods import NodeStreams
from controlplane.apiserver.tables.render import Tables

Object = dict[str, Any]
Virtual = Callable[[web.BaseRequest, Call], Awaitable[web.StreamResponse]]

WHOLE = frozenset({"status", "finalize", "approval", "ephemeralcontainers", "resize"})
"""Subresources whose body is the whole object: the generic verbs serve them."""
STREAMS = frozenset({"log", "exec", "attach", "portforward", "proxy"})
"""Those whose answer is no document."""


class Subresources:
    """Serves what `Resources` does not."""

    def __init__(
        self,
        registry: Registry,
        reviews: Reviews,
        tokens: TokenRequests,
        streams: NodeStreams,
        components: ComponentStatuses,
        tables: Tables,
    ) -> None:
        self._registry, self._reviews, self._tokens, self._streams = registry, reviews, tokens, streams
        self._components, self._tables = components, tables

    async def serve(self, request: web.BaseRequest, info: RequestInfo, call: Call) -> web.StreamResponse:
        """Raises ApiError 404 for a subresource there is not, 405 for a verb it has not."""
        about = call.resource.subresource(call.subresource)
        if about is None:
            raise status.path_not_found()
        if call.verb not in about.verbs and (call.subresource, request.method) != ("proxy", "OPTIONS"):
            if isinstance(call.resource, DefinedResource):
                raise status.method_not_allowed(call.resource, call.verb)
            raise status.no_such_method()
        if call.subresource in STREAMS:
            if call.subresource != "log":
                if "dryRun" in request.query:
                    raise status.bad_request("dryRun is not supported")
                query = [(name, str(value)) for name, value in request.query.items()]
                await admit_connect(self._registry.of(call.resource).admission, call, query, info.rest)
            return await self._streams.serve(request, info, call)
        collection = self._registry.of(call.resource)
        if call.subresource == "scale":
            return await self._scale(request, call)
        document = await self._document(request, call)
        match call.resource.plural, call.subresource:
            case "pods", "binding":
                answer = await self._bind(call, call.name, document)
            case "pods", "eviction":
                answer = await evict(self._registry, collection, call, document)
            case "serviceaccounts", "token":
                answer = await self._tokens.create(call, document)
            case _:
                raise status.path_not_found()
        return responses.document(request, answer, code=201, warnings=call.warnings)

    def virtual(self, resource: Resource) -> Virtual | None:
        """The handler of a kind that is never stored, or None."""
        if resource.group in ("authentication.k8s.io", "authorization.k8s.io"):
            return self._review
        if resource.group == "" and resource.plural == "bindings":
            return self._binding
        if resource.plural == "componentstatuses":
            return self._components.serve
        return None

    async def _document(self, request: web.BaseRequest, call: Call) -> Any:
        call.dry_run = check_options("CreateOptions", call.query, request.query.getall("dryRun", []))
        data = await decode.read_body(request)
        below = call.resource.subresource(call.subresource)
        kind = below.kind if below is not None else call.resource.kind
        document = await decode.document_of(data, request.headers.get("Content-Type"), call.collected, kind)
        remember(request, document)
        return document

    async def _scale(self, request: web.BaseRequest, call: Call) -> web.Response:
        collection, wanted = self._registry.of(call.resource), accept(request.headers.get("Accept", ""))
        if call.verb == "get":
            return self._scale_shown(request, call, await get_scale(collection, call), wanted)
        media = None
        if call.verb == "patch":
            media = decode.media_type(request.headers.get("Content-Type"))
            if media not in ACCEPTED:
                raise status.unsupported_media_type(media, (JSON, MERGE, APPLY))
            dry_run = request.query.getall("dryRun", [])
            call.dry_run = check_options("PatchOptions", call.query, dry_run, applying=media == APPLY)
            doubled, data = None if media == JSON else call.collected, await decode.read_body(request)
            document = await decode.yaml_of(data, doubled) if media == APPLY else decode.decode_json(data, doubled)
            remember(request, document)
            if media == APPLY:
                return self._scale_shown(request, call, await apply_scale(collection, call, document), wanted)
            if media == STRATEGIC and isinstance(call.resource, DefinedResource):
                media = MERGE  # a Scale has no lists to merge
        else:
            document = await self._document(request, call)
        scale = await update_scale(collection, call, document, media)
        return self._scale_shown(request, call, scale, wanted)

    def _scale_shown(self, request: web.BaseRequest, call: Call, scale: Object, wanted: Accepted) -> web.Response:
        if wanted.kind == "Table":
            scale = self._tables.scale(scale, wanted.version, call.query.get("includeObject", ""))
        elif wanted.kind == "PartialObjectMetadataList":
            raise unlike(wanted.kind, "not a list", "Scale", "autoscaling")
        elif wanted.kind:
            scale = partial(scale, wanted.version)
        return responses.document(request, scale, media=wanted.media, warnings=call.warnings)

    async def _bind(self, call: Call, name: str, document: Any) -> Object:
        binding = read(call, document, "", "v1", "Binding")
        place_in_namespace(call, binding)
        if binding["metadata"].get("name") != name:
            raise status.bad_request("name in URL does not match name in Binding object")
        collection = self._registry.of(PODS)
        await collection.admission.admit(call, binding, ("", "v1", "Binding"))
        now = times.rfc3339(collection.clock.now())

        async def attempt(pod: Object) -> tuple[Object, bool]:
            changed = bound(pod, binding, now)
            if call.dry_run:
                return changed, False
            try:
                return await collection.store.replace(changed, pod), False
            except status.ApiError as error:
                if status.is_conflict(error):
                    raise Raced(error) from None
                raise

        await begin_change(collection, call, name, attempt, MAX_ATTEMPTS)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    async def _binding(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        document = await self._document(request, call)
        meta = document.get("metadata") if isinstance(document, dict) else None
        name = meta.get("name") if isinstance(meta, dict) else None
        if not isinstance(name, str) or not name:
            raise status.bad_request("name is required")
        answer = await self._bind(call, name, document)
        return responses.document(request, answer, code=201, warnings=call.warnings)

    async def _review(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        accept(request.headers.get("Accept", ""), transforms=False)  # a review has neither table nor metadata
        obj = read(call, await self._document(request, call), *call.resource.gvk)
        place_in_namespace(call, obj)
        await self._registry.of(call.resource).admission.admit(call, obj, call.resource.gvk)
        return responses.document(request, await self._reviews.answer(call, obj), code=201, warnings=call.warnings)
