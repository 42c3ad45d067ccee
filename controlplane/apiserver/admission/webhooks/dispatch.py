"""Asking one webhook: dry run, the call, the answer's side messages."""

from __future__ import annotations

import logging
import time
import uuid

from apimachinery.api.catalogue import Resource
from apimachinery.kit.metrics import Gauge, Histogram
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.webhooks import verdict
from controlplane.apiserver.admission.webhooks.client import CallFailed, WebhookClient
from controlplane.apiserver.admission.webhooks.hooks import Hook
from controlplane.apiserver.admission.webhooks.verdict import InvalidAnswer, Verdict
from controlplane.apiserver.authn import remarks

log = logging.getLogger(__name__)

_DURATION = Histogram(
    "apiserver_admission_webhook_admission_duration_seconds",
    "Seconds that webhooks took",
    ["name", "type", "operation", "rejected"],
    buckets=(0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25),
)
# Counters both; the library would add `_total` to the names of those.
_REJECTED = Gauge(
    "apiserver_admission_webhook_rejection_count",
    "Requests that webhooks refused, or that were refused because a webhook failed",
    ["name", "type", "operation", "error_type", "rejection_code"],
)
_FAILED_OPEN = Gauge(
    "apiserver_admission_webhook_fail_open_count", "Failures of webhooks that were ignored", ["name", "type"]
)
_WITHOUT_EFFECTS = ("None", "NoneOnDryRun")


async def ask(
    client: WebhookClient, hook: Hook, review: Review, resource: Resource, annotation: str, *, mutating: bool
) -> Verdict | None:
    """The webhook's verdict, as `_answer`; its time is not the server's own."""
    began, said = time.monotonic(), remarks.current()
    try:
        return await _answer(client, hook, review, resource, annotation, mutating=mutating)
    finally:
        seconds = time.monotonic() - began
        if mutating:
            said.waited += seconds
        else:
            said.validated = max(said.validated, seconds)


async def _answer(
    client: WebhookClient, hook: Hook, review: Review, resource: Resource, annotation: str, *, mutating: bool
) -> Verdict | None:
    """The webhook's verdict, which allows; None when it failed and failurePolicy says to ignore that.

    annotation: the key by which an ignored failure is noted. Raises ApiError: the webhook's refusal, 500 when it
    failed and counts, 400 when it does not support dry runs.
    """
    kind = "admit" if mutating else "validating"
    began = time.monotonic()
    if review.call.dry_run and hook.side_effects not in _WITHOUT_EFFECTS:
        if hook.side_effects is None:
            _failed(hook, review, kind, annotation, "Webhook SideEffects is nil", began)
            return None
        raise status.bad_request(f'admission webhook "{hook.name}" does not support dry run')
    uid = str(uuid.uuid4())
    try:
        version = verdict.review_version(hook.versions)
        data = await client.post(hook.client, verdict.ask(review, resource, version, uid), hook.timeout)
        found = verdict.read(data, version, uid, mutating=mutating)
    except (CallFailed, InvalidAnswer) as error:
        _failed(hook, review, kind, annotation, str(error), began)
        return None
    for key, value in found.annotations.items():
        review.call.annotate(f"{hook.name}/{key}", str(value))
    for warning in found.warnings:
        review.call.warn(warning)
    _DURATION.labels(hook.name, kind, review.operation, str(not found.allowed).lower()).observe(
        time.monotonic() - began
    )
    if not found.allowed:
        refusal = verdict.refusal(hook.name, found.status)
        _REJECTED.labels(hook.name, kind, review.operation, "no_error", str(refusal.code)).inc()
        log.warning('rejected by webhook "%s": %s', hook.name, refusal.message)
        raise refusal
    return found


def _failed(hook: Hook, review: Review, kind: str, annotation: str, reason: str, began: float) -> None:
    text = f'failed calling webhook "{hook.name}": {reason}'
    _DURATION.labels(hook.name, kind, review.operation, str(hook.fail).lower()).observe(time.monotonic() - began)
    if not hook.fail:
        log.warning("Failed calling webhook, failing open %s: %s", hook.name, text)
        _FAILED_OPEN.labels(hook.name, kind).inc()
        review.call.annotate(annotation, hook.name)
        return
    log.warning("Failed calling webhook, failing closed %s: %s", hook.name, text)
    _REJECTED.labels(hook.name, kind, review.operation, "calling_webhook_error", "0").inc()
    raise status.internal(text)
