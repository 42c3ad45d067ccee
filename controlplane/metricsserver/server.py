"""The HTTPS server: metrics.k8s.io/v1beta1, what it says of itself, health, its own metrics."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from apimachinery.cache.lister import Lister
from apimachinery.client.delegation import Gate, NotDecided, shown_certificate, undecided
from apimachinery.kit import metrics
from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import unnamed
from apimachinery.meta import fields, labels, status

from . import objects
from .objects import BASE, GROUP, VERSION, Object
from .storage import Storage

log = logging.getLogger(__name__)

_OPEN = ("/healthz", "/livez", "/readyz")

Check = Callable[[], str | None]
"""Why something is unwell; None when it is well."""


class MetricsApi:
    """Serves what `storage` holds of the Nodes and Pods that there are. checks: of /livez and /readyz, by name."""

    def __init__(
        self,
        gate: Gate,
        storage: Storage,
        nodes: Lister,
        pods: Lister,
        clock: Clock,
        *,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
    ) -> None:
        self._gate, self._storage, self._nodes, self._pods, self._clock = gate, storage, nodes, pods, clock
        self._health = {"/healthz": live, "/livez": live, "/readyz": {**live, **ready}}

    async def run(self, stop: asyncio.Event, host: str, port: int, tls: ssl.SSLContext) -> None:
        """Serve until `stop` is set. Raises OSError when the address cannot be bound."""
        app = web.Application(middlewares=[self._guard])
        app.on_response_prepare.append(unnamed)
        documents: dict[str, Callable[[], Object]] = {
            "/apis": objects.group_list,
            f"/apis/{GROUP}": objects.group,
            BASE: objects.resource_list,
            "/openapi/v2": objects.openapi_v2,
            "/openapi/v3": objects.openapi_v3_index,
            f"/openapi/v3/apis/{GROUP}/{VERSION}": objects.openapi_v3,
        }
        for path, make in documents.items():
            app.router.add_get(path, self._document(make))
        for path in _OPEN:
            app.router.add_get(path, self._healthz)
        app.router.add_get("/metrics", self._metrics)
        for path, handler in (
            (f"{BASE}/nodes", self._list_nodes),
            (f"{BASE}/nodes/{{name}}", self._node),
            (f"{BASE}/pods", self._list_pods),
            (f"{BASE}/namespaces/{{namespace}}/pods", self._list_pods),
            (f"{BASE}/namespaces/{{namespace}}/pods/{{name}}", self._pod),
        ):
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
            log.info("Serving securely on %s:%d", host, port)
            await stop.wait()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            if request.path not in _OPEN:
                user = await self._gate.authenticate(shown_certificate(request), request.headers)
                attributes, what = describe(request.method, request.path)
                await self._gate.authorize(user, attributes, what)
            return await handler(request)
        except status.ApiError as error:
            return _status(error)
        except NotDecided as error:
            return undecided(request, error)
        except web.HTTPNotFound:
            return _status(status.path_not_found())
        except web.HTTPMethodNotAllowed:
            return _status(status.method_not_allowed(f"resource.{GROUP}", request.method.lower()))

    # --- metrics

    async def _list_nodes(self, request: web.Request) -> web.Response:
        now, found = self._clock.now(), []
        for node in _chosen(self._nodes.list(), request):
            usage = self._storage.node(node["metadata"]["name"])
            if usage is not None:
                found.append(objects.node_metrics(node, usage, now))
        return _answer(request, "nodes", found)

    async def _node(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        node, usage = self._nodes.get(name), self._storage.node(name)
        if node is None:
            raise status.not_found("node", name)
        if usage is None:
            raise status.not_found(f"nodemetrics.{GROUP}", name)
        return _answer(request, "nodes", objects.node_metrics(node, usage, self._clock.now()))

    async def _list_pods(self, request: web.Request) -> web.Response:
        now, found = self._clock.now(), []
        for pod in _chosen(self._pods.list(request.match_info.get("namespace")), request):
            usages = self._storage.pod((pod["metadata"]["namespace"], pod["metadata"]["name"]))
            if usages is not None:
                found.append(objects.pod_metrics(pod, usages, now))
        return _answer(request, "pods", found)

    async def _pod(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        pod, usages = self._pods.get(name, namespace), self._storage.pod((namespace, name))
        if pod is None:
            raise status.not_found("pods", name)
        if usages is None:
            raise status.not_found(f"podmetrics.{GROUP}", f"{namespace}/{name}")
        return _answer(request, "pods", objects.pod_metrics(pod, usages, self._clock.now()))

    # --- about the server

    def _document(self, make: Callable[[], Object]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if request.path == "/apis" and "APIGroupDiscoveryList" in request.headers.get("Accept", ""):
                media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                body = orjson.dumps(objects.aggregated_discovery())
                return web.Response(body=body, headers={"Content-Type": media})
            return _json(make())

        return answer

    async def _healthz(self, request: web.Request) -> web.Response:
        found = {name: check() for name, check in self._health[request.path].items()}
        lines = [f"[+]{name} ok" if why is None else f"[-]{name} failed: {why}" for name, why in found.items()]
        failed = any(why is not None for why in found.values())
        if failed:
            return web.Response(status=500, text="\n".join([*lines, f"{request.path[1:]} check failed", ""]))
        if "verbose" in request.query:
            return web.Response(text="\n".join([*lines, f"{request.path[1:]} check passed", ""]))
        return web.Response(text="ok")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})


def describe(method: str, path: str) -> tuple[dict[str, dict[str, str]], str]:
    """The attributes of a SubjectAccessReview for a request, and the words of its refusal."""
    verb = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "delete")
    parts = path.removeprefix(BASE).strip("/").split("/")
    if not path.startswith(f"{BASE}/") or not parts[0]:
        return {"nonResourceAttributes": {"path": path, "verb": verb}}, f'{verb} path "{path}"'
    namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else ""
    resource, *rest = parts[2:] if namespace else parts
    name = rest[0] if rest else ""
    verb = "list" if verb == "get" and not name else verb
    told = {"group": GROUP, "version": VERSION, "verb": verb, "resource": resource}
    told |= {key: text for key, text in (("namespace", namespace), ("name", name)) if text}
    scope = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    return {"resourceAttributes": told}, f'{verb} resource "{resource}" in API group "{GROUP}"{scope}'


def _chosen(found: Sequence[Object], request: web.Request) -> list[Object]:
    """Those that labelSelector and fieldSelector choose, by namespace and name. Raises ApiError 400."""
    try:
        by_label = labels.parse_selector(request.query.get("labelSelector", ""))
        by_field = fields.parse_selector(request.query.get("fieldSelector", ""))
    except ValueError as error:
        raise status.bad_request(str(error)) from None

    def chosen(metadata: Mapping[str, Any]) -> bool:
        own = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        return by_label.matches(metadata.get("labels") or {}) and by_field.matches(own)

    kept = [each for each in found if chosen(each["metadata"])]
    return sorted(kept, key=lambda each: (each["metadata"].get("namespace", ""), each["metadata"]["name"]))


def _answer(request: web.Request, resource: str, found: Object | list[Object]) -> web.Response:
    for wanted in request.headers.get("Accept", "").split(","):
        marks = {part.strip() for part in wanted.split(";")}
        if "as=Table" in marks and "g=meta.k8s.io" in marks:
            version = "v1beta1" if "v=v1beta1" in marks else "v1"
            items = found if isinstance(found, list) else [found]
            return _json(objects.table_of(items, version, request.query.get("includeObject", "")))
        if "as=Table" not in marks:
            break
    return _json(objects.list_of(resource, found) if isinstance(found, list) else found)


def _json(document: Any, code: int = 200) -> web.Response:
    return web.Response(status=code, body=orjson.dumps(document), content_type="application/json")


def _status(error: status.ApiError) -> web.Response:
    return _json(error.to_status(), error.code)
