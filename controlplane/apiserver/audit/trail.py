"""The audit event of one request, as it goes through its stages (apiserver/pkg/audit)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ipaddress
from collections.abc import Callable
from datetime import datetime
from random import getrandbits
from typing import Any

import orjson
from aiohttp import web

from apimachinery.meta import times
from apimachinery.meta.objects import copied
from apimachinery.meta.status import ApiError
from controlplane.apiserver.audit.policy import API_VERSION, COMPLETE, RECEIVED, STARTED, Decision, Level
from controlplane.apiserver.authn import remarks
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.responses import SAID

Object = dict[str, Any]
Writing = asyncio.Task[bool]

KEY = web.RequestKey("audit", object)
_IDENTITY_MAX, _AGENT_MAX = 64, 1024  # characters
_STATUS = b'{"kind":"Status"'
_CLOSED: Object = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}


_PATCH = "patch.webhook.admission.k8s.io/"
"""What a webhook changed is part of the object, which events below the level Request do not show."""


class Trail:
    """Collects what is known of the request, and hands an event to `write` at each stage that is not omitted. `write`
    says whether the request may go on, or gives a task that will; it is handed the one before it."""

    def __init__(
        self,
        request: web.BaseRequest,
        info: RequestInfo,
        user: User | None,
        decision: Decision,
        now: Callable[[], datetime],
        write: Callable[[Object, Writing | None], bool | Writing],
    ) -> None:
        self._decision, self._now, self._write = decision, now, write
        self._kept: bool | Writing = True
        self.identity = audit_id(request)
        self._stored, self._long = info.is_resource, info.long_running
        self._begun: Object | None = None  # what the head of the answer said, of long-running requests
        # The same ones: a token that is reviewed later is remarked on too.
        self.annotations = remarks.current().annotations
        self._received = times.rfc3339_micro(now())
        self._head: Object = {
            "kind": "Event",
            "apiVersion": API_VERSION,
            "level": str(decision.level),
            "auditID": self.identity,
            "stage": "",
            "requestURI": request.path_qs,
            "verb": info.verb,
            "user": user.to_info() if user is not None else {},
        }
        self._about: Object = {
            "sourceIPs": _sources(request),
            "userAgent": _agent(request.headers.get("User-Agent", "")),
        }
        if info.is_resource:
            self._about["objectRef"] = _reference(info)
        self._objects: Object = {}

    def impersonates(self, user: User) -> None:
        """The request goes on as somebody else."""
        self._head["impersonatedUser"] = user.to_info()

    def decided(self, allowed: bool, reason: str) -> None:
        """What authorization said."""
        self.annotations["authorization.k8s.io/decision"] = "allow" if allowed else "forbid"
        self.annotations["authorization.k8s.io/reason"] = reason

    def undecided(self) -> None:
        """Authorization could not say anything."""
        self.annotations["authorization.k8s.io/reason"] = "internal error"

    def asked(self, document: Any) -> None:
        """The object that was sent, or the patch."""
        reference = self._about.get("objectRef")
        if reference is not None and isinstance(document, dict) and isinstance(document.get("metadata"), dict):
            meta = document["metadata"]
            for field in ("namespace", "name", "uid", "resourceVersion"):
                if meta.get(field) and not reference.get(field):
                    reference[field] = meta[field]
        if self._decision.level >= Level.REQUEST and self._stored:
            # A copy: what was read goes on to be changed.
            self._objects["requestObject"] = copied(self._trimmed(document))

    def stage(self, stage: str, status: Object | None = None) -> None:
        """Write an event, if the stage is not omitted."""
        if stage in self._decision.omitted:
            return
        event = {**self._head, "stage": stage, **self._about}
        if status is not None:
            event["responseStatus"] = status
        event.update(self._objects)
        event["requestReceivedTimestamp"] = self._received
        event["stageTimestamp"] = self._received if stage == RECEIVED else times.rfc3339_micro(self._now())
        if self.annotations:
            whole = self._decision.level >= Level.REQUEST
            event["annotations"] = {
                key: value for key, value in sorted(self.annotations.items()) if whole or not key.startswith(_PATCH)
            }
        self._kept = self._write(event, None if isinstance(self._kept, bool) else self._kept)

    async def settled(self) -> bool:
        """Whether the request may go on; where requests wait for their events, when the last one is written."""
        if isinstance(self._kept, bool):
            return self._kept
        await asyncio.wait([self._kept])  # who gives the request up does not keep it from being written
        return self._kept.result()

    def started(self, code: int) -> None:
        """The head of the answer is on its way. Of long-running requests alone that is an event."""
        self._start({"metadata": {}, "code": code})

    def completed(self, response: web.StreamResponse | None) -> None:
        """The answer is ready, or was sent; None: the request was given up."""
        if response is None:
            self._start(_CLOSED)
            self.stage(COMPLETE, self._begun or _CLOSED)
            return
        self.started(response.status)
        status: Object = {"metadata": {}, "code": response.status}
        body = response.body if isinstance(response, web.Response) else None
        if (said := response.get(SAID)) is not None and self._stored:
            if said.get("kind") == "Status":
                status = _answered(said, response.status)
            if self._decision.level >= Level.REQUEST_RESPONSE:
                self._objects["responseObject"] = self._trimmed(said)
        elif isinstance(body, bytes) and response.content_type == "application/json" and self._stored:
            if response.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body) if self._decision.level >= Level.REQUEST_RESPONSE else b""
            if body.startswith(_STATUS):
                status = _answered(orjson.loads(body), response.status)
            if self._decision.level >= Level.REQUEST_RESPONSE and body:
                self._objects["responseObject"] = self._trimmed(orjson.loads(body))
        self.stage(COMPLETE, status)

    def _start(self, status: Object) -> None:
        if self._long and self._begun is None:
            self._begun = status
            self.stage(STARTED, status)

    def _trimmed(self, document: Any) -> Any:
        if not self._decision.omit_managed_fields or not isinstance(document, dict):
            return document
        if isinstance(items := document.get("items"), list):
            return {**document, "items": [_unmanaged(item) for item in items]}
        if document.get("kind") == "Table" and isinstance(rows := document.get("rows"), list):
            about = [{key: _unmanaged(value) for key, value in row.items()} for row in rows]
            return {**document, "rows": about}
        return _unmanaged(document)


def refused(error: ApiError) -> Object:
    """The responseStatus of a refusal."""
    return _answered(error.to_status(), error.code)


def trail_of(request: web.BaseRequest) -> Trail | None:
    """The trail of a request that is written down, or None."""
    found = request.get(KEY)
    return found if isinstance(found, Trail) else None


def audit_id(request: web.BaseRequest) -> str:
    """The request's Audit-ID, or a new one: a random UUID. It need not be hard to guess, and the kernel's randomness
    takes ten times as long."""
    given = request.headers.get("Audit-Id", "")
    if given and len(given) <= _IDENTITY_MAX:
        return given
    text = f"{getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def remember(request: web.BaseRequest, document: Any) -> None:
    """Tell the trail what the request sent."""
    if (trail := trail_of(request)) is not None:
        trail.asked(document)


def begun(request: web.BaseRequest, code: int) -> None:
    """Tell the trail that the head of the answer is on its way."""
    if (trail := trail_of(request)) is not None:
        trail.started(code)


def _agent(text: str) -> str:
    return text if len(text) <= _AGENT_MAX else f"{text[:_AGENT_MAX]}...TRUNCATED"


def _answered(status: Object, code: int) -> Object:
    fields = ("status", "message", "reason", "details")
    return {"metadata": {}, **{field: status[field] for field in fields if status.get(field)}, "code": code}


def _unmanaged(obj: Any) -> Any:
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        return obj
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def _reference(info: RequestInfo) -> Object:
    fields = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {field: value for field, value in fields.items() if value}


def _sources(request: web.BaseRequest) -> list[str]:
    """The addresses a request came by: what proxies say, then the peer's (k8s.io/apimachinery net.SourceIPs)."""
    named = [each.strip() for each in request.headers.get("X-Forwarded-For", "").split(",")]
    named.append(request.headers.get("X-Real-Ip", ""))
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if peer:
        named.append(str(peer[0]))
    found: list[str] = []
    for each in named:
        with contextlib.suppress(ValueError):
            address = str(ipaddress.ip_address(each))
            if address not in found:
                found.append(address)
    return found
