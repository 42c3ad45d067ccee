"""A real HTTPS webhook on loopback, which notes what it was asked and answers as it is told."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import (
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    SERVICES,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)
from apimachinery.kit.certs import Authority
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from controlplane.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import lookup, put

Object = dict[str, Any]
Answer = Callable[[Object], Object | web.Response]


class WebhookServer:
    """`asked`: the AdmissionReviews that came, by path; `answers`: what a path answers, as fields of the response;
    `authority`: whose certificates it takes, and whose it has."""

    def __init__(self, port: int, authority: Authority) -> None:
        self.port, self.authority = port, authority
        self.bundle = base64.b64encode(authority.pair.cert_pem).decode()
        self.asked: dict[str, list[Object]] = {}
        self.answers: dict[str, Answer] = {}

    def config(self, path: str = "/") -> Object:
        """The clientConfig of that path."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    def requests(self, path: str = "/") -> list[Object]:
        return [each["request"] for each in self.asked.get(path, [])]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        review = orjson.loads(await request.read())
        shown = {name: request.headers.get(name, "") for name in ("Host", "Authorization", "User-Agent")}
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        subject = certificate["subject"][-1][-1][-1] if certificate else ""
        came = {**review, "host": shown["Host"], "shown": shown, "subject": subject}
        self.asked.setdefault(request.path, []).append(came)
        answer = self.answers.get(request.path, lambda _: {"allowed": True})(review["request"])
        if isinstance(answer, web.Response):
            return answer
        if "patch" in answer:
            patch = base64.b64encode(json.dumps(answer["patch"]).encode()).decode()
            answer = {**answer, "patch": patch, "patchType": "JSONPatch"}
        response = {"uid": review["request"]["uid"], **answer}
        return web.json_response({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response})


@asynccontextmanager
async def webhook_server(directory: Path, *, names: tuple[str, ...] = ("localhost",)) -> AsyncIterator[WebhookServer]:
    """Serve while in use."""
    authority = Authority.create("webhooks")
    pair = authority.issue("webhook", dns=names, ips=("127.0.0.1",), server=True)
    cert, key = directory / "webhook.crt", directory / "webhook.key"
    cert.write_bytes(pair.cert_pem)
    key.write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.pair.cert_pem.decode())
    served = WebhookServer(0, authority)
    runner = web.ServerRunner(web.Server(served.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    served.port = runner.addresses[0][1]
    try:
        yield served
    finally:
        await runner.cleanup()


EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}


def hook(server, path="/", name="check.example.com", **fields):
    return {
        "name": name,
        "clientConfig": server.config(path),
        "rules": [EVERYTHING],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **fields,
    }


@asynccontextmanager
async def plugin(storage, *hooks, mutating=False, name="config"):
    """The plug-in with one configuration that holds these hooks."""
    resource = MUTATINGWEBHOOKCONFIGURATIONS if mutating else VALIDATINGWEBHOOKCONFIGURATIONS
    await put(storage, NAMESPACES, {"metadata": {"name": "a", "labels": {"team": "blue"}}})
    await put(storage, resource, {"metadata": {"name": name}, "webhooks": list(hooks)})
    client = WebhookClient(ObjectStore(SERVICES, storage))
    async with lookup(storage, resource) as configurations, lookup(storage, NAMESPACES) as namespaces:
        made = MutatingAdmissionWebhook if mutating else ValidatingAdmissionWebhook
        yield made(configurations, namespaces, client)
    await client.close()
