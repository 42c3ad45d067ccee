"""Old requests are deleted (pkg/controller/certificates/cleaner)."""

from __future__ import annotations

import base64
import datetime
import logging
from typing import Any

from cryptography import x509

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.certificates import request as requests
from controlplane.controllers.context import Context

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME = "certificatesigningrequest-cleaner-controller"
_EVERY = 3600.0  # seconds
_FINISHED = datetime.timedelta(hours=1)
_PENDING = datetime.timedelta(hours=24)


def why_delete(csr: Object, now: datetime.datetime) -> str | None:
    """The reason to delete a request, or None to keep it."""
    status = csr.get("status") or {}
    issued = status.get("certificate")
    if issued and _is_expired(issued, now):
        return "its certificate has expired"
    final = [each for kind in ("Approved", "Denied", "Failed") if (each := requests.condition(csr, kind))]
    if not final:
        waited = now - times.parse(csr["metadata"]["creationTimestamp"])
        return "it has waited for longer than a day" if waited > _PENDING else None
    for each in final:
        if each["type"] == "Approved" and not issued:
            continue  # its signer may be slow, or somebody else's
        if each.get("lastUpdateTime") and now - times.parse(each["lastUpdateTime"]) > _FINISHED:
            return f"it was {str(each['type']).lower()} more than an hour ago"
    return None


def _is_expired(encoded: str, now: datetime.datetime) -> bool:
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(encoded)).not_valid_after_utc < now
    except ValueError:
        return False


class CertificateCleaner:
    """Looks at each request once an hour. Keys are names of requests."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        requests_informer = context.informer(CERTIFICATESIGNINGREQUESTS)
        self._requests = requests_informer.lister
        self._queue = WorkQueue(context.clock, cap=_EVERY)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        requests_informer.add_handler(on_add=lambda csr: self._queue.add(objects.name(csr)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Delete the request when it is old."""
        csr = self._requests.get(key)
        if csr is None:
            return None
        reason = why_delete(csr, self._clock.now())
        if reason is None:
            return _EVERY
        log.info("deleting certificate signing request %s: %s", key, reason)
        try:
            await self._client.delete(CERTIFICATESIGNINGREQUESTS, key, uid=objects.uid(csr))
        except ApiError as error:
            if not is_not_found(error):
                raise
        return None
