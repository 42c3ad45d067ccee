"""Having a request signed: the CertificateSigningRequest is made, and waited for."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found

from .request import Request, object_for, render

log = logging.getLogger(__name__)

# Upstream waits as long for somebody to approve.
PATIENCE = 15 * 60.0
_WATCH = 60
_RETRY = 1.0


class NotSigned(Exception):
    """The request was denied, failed, or nobody approved it in time."""


async def sign(client: Client, clock: Clock, request: Request, key: bytes) -> bytes:
    """The certificate for `key`, PEM. Waits up to a quarter of an hour for somebody to approve.

    Raises NotSigned, ApiError (the API refuses the request).
    """
    wanted = object_for(request, render(request, key), key)
    name = str(wanted["metadata"]["name"])
    until = clock.monotonic() + PATIENCE
    created = False
    while clock.monotonic() < until:
        try:
            if not created:
                found = await _create(client, wanted, name)
                created = True
            else:
                found = await client.get(CERTIFICATESIGNINGREQUESTS, name)
            certificate = issued(found)
            if certificate is None:
                certificate = await _watched(client, clock, found, until)
            if certificate is not None:
                return certificate
        except ApiUnreachable as error:
            log.error("Unable to reach the API server for certificate signing request %s: %s", name, error)
        except ApiError as error:
            # Collected as too old: asked once more.
            if not (created and is_not_found(error)):
                raise
            created = False
        await clock.sleep(_RETRY)
    raise NotSigned(f'certificate request was not signed: timed out waiting for "{name}" to be approved')


async def _create(client: Client, wanted: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        return await client.create(CERTIFICATESIGNINGREQUESTS, wanted)
    except ApiError as error:
        if not is_already_exists(error):
            raise
    found = await client.get(CERTIFICATESIGNINGREQUESTS, name)
    log.info("csr for this node already exists, reusing: %s", name)
    return found


async def _watched(client: Client, clock: Clock, found: dict[str, Any], until: float) -> bytes | None:
    """The certificate as soon as it is there; None when the watch ends before."""
    seconds = max(1, min(_WATCH, round(until - clock.monotonic())))
    watch = client.watch(
        CERTIFICATESIGNINGREQUESTS,
        field_selector=f"metadata.name={found['metadata']['name']}",
        resource_version=found["metadata"]["resourceVersion"],
        timeout_seconds=seconds,
    )
    try:
        async with asyncio.timeout(seconds + 5):
            async for event in watch:
                if event.type == "DELETED":
                    raise NotSigned("certificate signing request was deleted before it was signed")
                if event.type != "BOOKMARK":
                    certificate = issued(event.object)
                    if certificate is not None:
                        return certificate
    except TimeoutError:
        log.debug("the watch of %s is over", found["metadata"]["name"])
    return None


def issued(csr: dict[str, Any]) -> bytes | None:
    """The certificate in a request's status; None while it is waited for. Raises NotSigned when it will never come."""
    status, name = csr.get("status") or {}, csr["metadata"]["name"]
    approved = False
    for condition in status.get("conditions") or ():
        why = f'reason: "{condition.get("reason", "")}", message: "{condition.get("message", "")}"'
        if condition["type"] == "Denied":
            raise NotSigned(f"certificate signing request {name} is denied, {why}")
        if condition["type"] == "Failed":
            raise NotSigned(f"certificate signing request {name} failed, {why}")
        approved = approved or condition["type"] == "Approved"
    return base64.b64decode(status["certificate"]) if approved and status.get("certificate") else None
