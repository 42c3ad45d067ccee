"""Writing down requests: the policy decides, the log keeps."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine, Sequence
from typing import Any

from aiohttp import web

from apimachinery.kit import go_json
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter
from apimachinery.meta import status
from apimachinery.meta.status import ApiError
from controlplane.apiserver.audit.policy import RECEIVED, STARTED, Level, Policy
from controlplane.apiserver.audit.sinks import Outlet, failed
from controlplane.apiserver.audit.trail import KEY, Trail, refused
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.front.request_info import RequestInfo

_EVENTS = Counter("apiserver_audit_event_total", "Audit events written")
_LEVELS = Counter("apiserver_audit_level_total", "Requests by the audit level that the policy gave them", ["level"])
_REJECTED = Counter("apiserver_audit_requests_rejected_total", "Requests refused because nothing could be written")


class Auditor:
    """Begins a trail for each request that the policy wants written. Every event goes to all outlets, in turn."""

    def __init__(self, policy: Policy, outlets: Sequence[Outlet], clock: Clock) -> None:
        self._policy, self._outlets, self._clock = policy, outlets, clock
        self._under_way: set[asyncio.Task[bool]] = set()

    def begin(self, request: web.BaseRequest, info: RequestInfo, user: User, attributes: Attributes) -> Trail | None:
        """The trail of an identified request, kept in the request too; None when nothing is to be written."""
        decision = self._policy.decide(attributes)
        _LEVELS.labels(str(decision.level)).inc()
        if decision.level is Level.NONE:
            return None
        trail = Trail(request, info, user, decision, self._clock.now, self._write)
        request[KEY] = trail
        trail.stage(RECEIVED)
        return trail

    async def admit(self, request: web.BaseRequest, trail: Trail) -> None:
        """Returns when the trail's beginning is written, where requests wait for that. Raises ApiError 500 if it is not
        and must be (blocking-strict); nothing more is written then."""
        if not await trail.settled():
            _REJECTED.inc()
            request[KEY] = None
            raise status.internal("failed to store audit event")

    async def unidentified(
        self, request: web.BaseRequest, info: RequestInfo, attributes: Attributes, error: ApiError, *, certificate: bool
    ) -> None:
        """Write down a request whose proofs did not hold. attributes: of a user without a name; certificate: whether
        the client showed one."""
        decision = self._policy.decide(attributes)
        _LEVELS.labels(str(decision.level)).inc()
        if decision.level is not Level.NONE:
            trail = Trail(request, info, None, decision, self._clock.now, self._write)
            tried = _tried(request, certificate=certificate)
            why = f"attempted: {', '.join(tried)}" if tried else "no credentials provided"
            told: dict[str, Any] = {**refused(error), "message": f"Authentication failed, {why}"}
            trail.stage(STARTED, told)
            await trail.settled()

    async def close(self) -> None:
        """Write what still waits, and end."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        for outlet in self._outlets:
            await outlet.close()

    def _write(self, event: dict[str, Any], before: asyncio.Task[bool] | None) -> bool | asyncio.Task[bool]:
        """Whether the request may go on, or what will tell. before: what writes the request's event before this one."""
        _EVENTS.inc()
        try:
            line = go_json.encode(event)
        except (TypeError, ValueError) as error:
            for outlet in self._outlets:
                failed(outlet.name, error)
            return True
        kept = True
        waits: list[Coroutine[Any, Any, bool]] = []
        for outlet in self._outlets:
            told = outlet.put(event, line)
            if isinstance(told, bool):
                kept = kept and told
            else:
                waits.append(told)
        if not waits:
            return kept
        task = asyncio.create_task(_one_by_one(before, waits, kept=kept))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


async def _one_by_one(
    before: asyncio.Task[bool] | None, waits: Sequence[Coroutine[Any, Any, bool]], *, kept: bool
) -> bool:
    if before is not None:
        await asyncio.wait([before])
    for each in waits:
        kept = await each and kept
    return kept


def _tried(request: web.BaseRequest, *, certificate: bool) -> list[str]:
    """By which proofs somebody meant to be known; also those that this server does not read."""
    scheme, _, held = request.headers.get("Authorization", "").strip().partition(" ")
    ways = {
        "basic": scheme.lower() == "basic" and _is_basic(held),
        "bearer": scheme.lower() == "bearer" and bool(held),
        "access_token": bool(request.query.get("access_token", "").strip()),
        "x509": certificate,
    }
    return [way for way, was_tried in ways.items() if was_tried]


def _is_basic(text: str) -> bool:
    try:
        return b":" in base64.b64decode(text, validate=True)
    except ValueError:
        return False
