"""Legacy token cleaner: tokens that were made by themselves for accounts, and that nobody uses, are marked as invalid
and later deleted (pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go). What a user made stays: no
account lists it. When each was used is noted by the API server."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from apimachinery.api.catalogue import CONFIGMAPS, PODS, SECRETS, SERVICEACCOUNTS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, times
from apimachinery.meta.pod_references import named
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.serviceaccount_token import ACCOUNT, TYPE, UID

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME = "legacy-serviceaccount-token-cleaner-controller"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
EVERY = 24 * 3600.0  # seconds
_DATE = "%Y-%m-%d"


def tracked_long_enough(tracking: Mapping[str, Any], now: datetime, period: timedelta) -> bool:
    """Whether uses have been noted for `period`, the day on which that began left out."""
    since = _date((tracking.get("data") or {}).get("since"))
    return since is not None and now >= since.replace(tzinfo=now.tzinfo) + timedelta(days=1) + period


def is_unused(secret: Object, account: Object | None, now: datetime, period: timedelta) -> bool:
    """Whether a token was made by itself and not used for `period`. account: of the name that the Secret says."""
    if objects.is_deleting(secret) or times.parse(secret["metadata"]["creationTimestamp"]) >= now - period:
        return False
    used = objects.labels(secret).get(LAST_USED)
    if used is not None and (_date(used) is None or used >= (now - period).strftime(_DATE)):
        return False
    if account is None or objects.annotations(secret).get(UID) not in (None, "", objects.uid(account)):
        return False
    return objects.name(secret) in {each.get("name") for each in account.get("secrets") or ()}


def invalid_since(secret: Object) -> str | None:
    """The day on which the token was marked as invalid; None when it was not."""
    text = objects.labels(secret).get(INVALID_SINCE)
    return text if _date(text) is not None else None


def _date(text: str | None) -> datetime | None:
    try:
        found = datetime.strptime(text or "", _DATE)
    except ValueError:
        return None
    return found if found.strftime(_DATE) == text else None  # Go wants two digits


class LegacyTokenCleaner:
    """Looks at all tokens once a day. There is one key."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._reader, self._clock = context.client, context.reader, context.clock
        self._period = timedelta(seconds=context.config.legacy_token_period)
        self._secrets = context.informers.get(SECRETS, field_selector=f"type={TYPE}").lister
        self._accounts = context.informer(SERVICEACCOUNTS).lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)

    async def run(self) -> None:
        """Work until cancelled."""
        self._queue.add(TRACKING)
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Mark, or delete, what is not used."""
        now = self._clock.now()
        if not await self._tracked(now):
            return EVERY
        mounted: dict[str, set[str]] = {}
        for secret in self._secrets.list():
            namespace = objects.namespace(secret)
            account = self._accounts.get(objects.annotations(secret).get(ACCOUNT) or "", namespace)
            if not is_unused(secret, account, now, self._period):
                continue
            if namespace not in mounted:
                mounted[namespace] = await self._named_by_pods(namespace)
            if objects.name(secret) not in mounted[namespace]:
                await self._retire(secret, now)
        return EVERY

    async def _tracked(self, now: datetime) -> bool:
        try:
            tracking = await self._client.get(CONFIGMAPS, TRACKING, "kube-system")
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return tracked_long_enough(tracking, now, self._period)

    async def _named_by_pods(self, namespace: str) -> set[str]:
        """Asked, not looked up: the shared copy of pods does not hold what they name."""
        listed = await self._reader.list(PODS, namespace)
        return {name for pod in listed["items"] for plural, _, name in named(pod) if plural == "secrets"}

    async def _retire(self, secret: Object, now: datetime) -> None:
        name, namespace, since = objects.name(secret), objects.namespace(secret), invalid_since(secret)
        try:
            if since is None:
                labels = {INVALID_SINCE: now.strftime(_DATE)}
                body = {"metadata": {"uid": objects.uid(secret), "labels": labels}}
                await self._client.patch(SECRETS, name, body, namespace, kind="merge")
                log.info("%s: %s/%s is marked as invalid", NAME, namespace, name)
            elif since < (now - self._period).strftime(_DATE):
                version = objects.resource_version(secret)
                await self._client.delete(SECRETS, name, namespace, resource_version=version)
                log.info("%s: %s/%s is deleted, unused and invalid since %s", NAME, namespace, name, since)
        except ApiError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise
