"""Writing down requests: the policy decides, the log keeps."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from aiohttp import web

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter
from apimachinery.meta.status import ApiError
from controlplane.apiserver.audit.log import LogFile
from controlplane.apiserver.audit.policy import RECEIVED, STARTED, Level, Policy
from controlplane.apiserver.audit.trail import KEY, Trail, refused
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.front.request_info import RequestInfo

log = logging.getLogger(__name__)

_EVENTS = Counter("apiserver_audit_event_total", "Audit events written")
_LEVELS = Counter("apiserver_audit_level_total", "Requests by the audit level that the policy gave them", ["level"])
_ERRORS = Counter("apiserver_audit_error_total", "Audit events that could not be written", ["plugin"])


class Auditor:
    """Begins a trail for each request that the policy wants written."""

    def __init__(self, policy: Policy, file: LogFile, clock: Clock) -> None:
        self._policy, self._file, self._clock = policy, file, clock

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

    def unidentified(
        self, request: web.BaseRequest, info: RequestInfo, attributes: Attributes, error: ApiError
    ) -> None:
        """Write down a request whose proofs did not hold. attributes: of a user without a name."""
        decision = self._policy.decide(attributes)
        _LEVELS.labels(str(decision.level)).inc()
        if decision.level is not Level.NONE:
            trail = Trail(request, info, None, decision, self._clock.now, self._write)
            tried = "bearer" if request.headers.get("Authorization", "").lower().startswith("bearer ") else "x509"
            status: dict[str, Any] = {**refused(error), "message": f"Authentication failed, attempted: {tried}"}
            trail.stage(STARTED, status)

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def _write(self, event: dict[str, Any]) -> None:
        _EVENTS.inc()
        try:
            self._file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        except (OSError, TypeError, ValueError) as error:
            # As upstream in its blocking mode: the request goes on.
            _ERRORS.labels("log").inc()
            log.error("audit: an event could not be written: %s", error)
