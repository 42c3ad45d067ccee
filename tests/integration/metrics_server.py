"""A small aggregated API server, started as a process: metrics.k8s.io/v1beta1 over HTTPS.

It believes X-Remote-* headers of whoever shows a certificate of the front proxy's authority, and asks the API server
whether the user may (delegated authorization), as metrics-server does.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import SUBJECTACCESSREVIEWS
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_RESOURCES = [
    {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": ["get", "list"]},
    {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]},
    {"name": "pods/echo", "singularName": "", "namespaced": True, "kind": "Echo", "verbs": ["create", "get"]},
]
_NODES = "/apis/metrics.k8s.io/v1beta1/nodes"
_NODE_METRICS = {
    "type": "object",
    "description": "NodeMetrics sets resource usage metrics of a node.",
    "properties": {"window": {"type": "string", "description": "How long was measured."}},
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "NodeMetrics"}],
}


class MetricsServer:
    """Answers every request; `modern`: whether it has aggregated discovery."""

    def __init__(self, client: Client, *, modern: bool) -> None:
        self._client, self._modern = client, modern

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        if _common_name(certificate) != "front-proxy-client":
            return _status(401, "Unauthorized", "Unauthorized")
        path = request.path
        match path.strip("/").split("/"):
            case ["apis"] if self._modern and "APIGroupDiscoveryList" in request.headers.get("Accept", ""):
                return _aggregated()
            case ["apis", "metrics.k8s.io", "v1beta1"]:
                found = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}"}
                return _json({**found, "resources": _RESOURCES})
            case ["openapi", "v3"]:
                return _json({"paths": {"apis/metrics.k8s.io/v1beta1": {"serverRelativeURL": "/openapi/v3/x?hash=1"}}})
            case ["openapi", "v3", *_]:
                schemas = {"io.k8s.metrics.NodeMetrics": _NODE_METRICS}
                kind = {"group": GROUP, "version": VERSION, "kind": "NodeMetrics"}
                get = {"x-kubernetes-group-version-kind": kind, "x-kubernetes-action": "list", "responses": {}}
                document = {"openapi": "3.0.0", "info": {}, "paths": {_NODES: {"get": get}}}
                return _json({**document, "components": {"schemas": schemas}})
            case ["openapi", "v2"]:
                reference = {"$ref": "#/definitions/io.k8s.metrics.NodeMetrics"}
                get = {"responses": {"200": {"description": "OK", "schema": reference}}}
                definitions = {"io.k8s.metrics.NodeMetrics": _NODE_METRICS, "unneeded": {"type": "string"}}
                return _json({"swagger": "2.0", "paths": {_NODES: {"get": get}}, "definitions": definitions})
            case ["apis", "metrics.k8s.io", "v1beta1", *rest]:
                return await self._resource(request, rest)
        return _status(404, "NotFound", "the server could not find the requested resource")

    async def _resource(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        namespace = rest[1] if rest[0] == "namespaces" else ""
        resource, *names = rest[2:] if namespace else rest
        name = names[0] if names else ""
        verb = "create" if request.method == "POST" else "get" if name else "list"
        user = request.headers.get("X-Remote-User", "")
        if not await self._may(request.headers, verb, resource, namespace, name):
            message = f'{resource}.{GROUP} is forbidden: User "{user}" cannot {verb} resource "{resource}"'
            return _status(403, "Forbidden", message)
        match resource, names[1:]:
            case "pods", ["echo"]:
                headers = {str(key): request.headers.getall(key) for key in set(request.headers)}
                body = (await request.read()).decode()
                return _json({"kind": "Echo", "method": request.method, "headers": headers, "body": body})
            case "pods", ["away"]:
                return web.Response(status=302, headers={"Location": "https://elsewhere.example/"})
            case "pods", ["stream"]:
                return await _stream(request)
        if name:
            return _json(_metrics(resource, name, namespace))
        items = [_metrics(resource, "one", namespace or "default")]
        kind = "NodeMetricsList" if resource == "nodes" else "PodMetricsList"
        return _json({"kind": kind, "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items})

    async def _may(self, headers: Mapping[str, str], verb: str, resource: str, namespace: str, name: str) -> bool:
        attributes = {"verb": verb, "group": GROUP, "version": VERSION, "resource": resource}
        groups = headers.getall("X-Remote-Group", [])  # type: ignore[attr-defined]
        spec = {
            "user": headers.get("X-Remote-User", ""),
            "groups": groups,
            "resourceAttributes": {**attributes, "namespace": namespace, "name": name},
        }
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return bool((await self._client.create(SUBJECTACCESSREVIEWS, review))["status"]["allowed"])


async def _stream(request: web.BaseRequest) -> web.StreamResponse:
    """Lines that come one by one: the next when the connection has taken the one before."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for number in range(3):
        await response.write(b'{"line":%d}\n' % number)
    await asyncio.Event().wait()  # until the client goes
    return response


def _metrics(resource: str, name: str, namespace: str) -> dict[str, Any]:
    usage = {"cpu": "250m", "memory": "64Mi"}
    head = {"apiVersion": f"{GROUP}/{VERSION}", "timestamp": "2024-01-01T00:00:00Z", "window": "10s"}
    if resource == "nodes":
        return {"kind": "NodeMetrics", **head, "metadata": {"name": name}, "usage": usage}
    containers = [{"name": "main", "usage": usage}]
    return {"kind": "PodMetrics", **head, "metadata": {"name": name, "namespace": namespace}, "containers": containers}


def _aggregated() -> web.Response:
    resources = [
        {
            "resource": "nodes",
            "responseKind": {"group": GROUP, "version": VERSION, "kind": "NodeMetrics"},
            "scope": "Cluster",
            "singularResource": "",
            "verbs": ["get", "list"],
        },
    ]
    item = {"metadata": {"name": GROUP}, "versions": [{"version": VERSION, "resources": resources}]}
    listed = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [item]}
    media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    return web.Response(body=orjson.dumps(listed), headers={"Content-Type": media})


def _json(document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _status(code: int, reason: str, message: str) -> web.Response:
    found = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return web.Response(status=code, body=orjson.dumps({**found, "code": code}), content_type="application/json")


def _common_name(certificate: Mapping[str, Any] | None) -> str:
    subject = (certificate or {}).get("subject") or ()
    return next((value for part in subject for key, value in part if key == "commonName"), "")


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    for name in ("address", "port", "cert", "key", "requestheader-ca", "kubeconfig"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--modern", action="store_true")
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    context.load_verify_locations(cafile=options.requestheader_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    async with Client(load_kubeconfig(Path(options.kubeconfig)), "metrics-server") as client:
        server = web.Server(MetricsServer(client, modern=options.modern).serve, access_log=None)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server, options.address, int(options.port), ssl=context)
        await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
