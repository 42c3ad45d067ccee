"""The admission of it: charge the quotas' status by compare-and-set, then let the request go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from apimachinery.api.quota.evaluators import IGNORED, evaluator
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.resource_quota.charge import (
    Charge,
    LimitedResource,
    NotCovered,
    Refused,
    plan_charges,
)
from controlplane.apiserver.registry.store import MAX_ATTEMPTS, ObjectStore

Object = dict[str, Any]


class ResourceQuota(Plugin):
    """k8s.io/apiserver/pkg/admission/plugin/resourcequota.

    `quotas` tells which namespaces have any; what is left of them is read from the store, for every charge is a
    compare-and-set on what was read. Two servers therefore never grant the same remainder twice.
    """

    name = "ResourceQuota"

    def __init__(self, quotas: Lookup, store: ObjectStore, limited: Sequence[LimitedResource], clock: Clock) -> None:
        self._quotas, self._store, self._limited, self._clock = quotas, store, limited, clock
        # One charge at a time in a namespace of this server: losing races against oneself only costs.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def validate(self, review: Review) -> None:
        about = review.resource.group, review.resource.plural
        namespace = review.call.namespace
        if not namespace or review.call.subresource or review.new is None or about in IGNORED:
            return
        if review.operation not in evaluator(*about).operations:
            return
        await self._quotas.ready(review)
        if not self._quotas.has(namespace) and not self._limited:
            return
        lock = self._locks.get(namespace)
        if lock is None:
            lock = self._locks[namespace] = asyncio.Lock()
        async with lock:
            await self._charge(review, namespace)

    async def _charge(self, review: Review, namespace: str) -> None:
        """Charge every quota, and those again that somebody else changed meanwhile."""
        pending: set[str] | None = None  # None: all of them
        for _ in range(MAX_ATTEMPTS):
            quotas = [
                quota
                for quota in await self._store.all(namespace)
                if pending is None or quota["metadata"]["name"] in pending
            ]
            charges = self._plan(review, quotas)
            if review.call.dry_run:
                return
            pending = {charge.quota["metadata"]["name"] for charge in charges if not await self._write(charge)}
            if not pending:
                return
        raise status.server_timeout(self._store.resource, "update", 1)

    def _plan(self, review: Review, quotas: Sequence[Object]) -> list[Charge]:
        assert review.new is not None
        measure = evaluator(review.resource.group, review.resource.plural)
        try:
            return plan_charges(quotas, measure, review.new, review.old, self._clock.now(), self._limited)
        except Refused as refusal:
            raise review.forbidden(str(refusal)) from None
        except NotCovered as refusal:
            # Upstream says it without naming the object, as an error of the server's.
            raise status.ApiError(500, "", str(refusal)) from None

    async def _write(self, charge: Charge) -> bool:
        state = charge.quota.get("status") or {}
        changed = {**charge.quota, "status": {**state, "used": {**(state.get("used") or {}), **charge.used}}}
        try:
            await self._store.replace(changed, charge.quota)
        except status.ApiError as error:
            if not status.is_conflict(error) and not status.is_not_found(error):
                raise
            return False
        return True
