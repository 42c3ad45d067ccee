"""The status of policies: that they were seen, and what type checking says of their expressions.

Upstream's controller manager does this (validatingadmissionpolicy-status); here the server does, which has CEL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import Catalogue
from apimachinery.meta import status
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.store import ObjectStore

log = logging.getLogger(__name__)

Object = dict[str, Any]


class PolicyStatus:
    """`served`: what kinds there are. Every server does it: whoever is first writes, the others see it written."""

    def __init__(self, store: ObjectStore, served: Callable[[], Catalogue]) -> None:
        self._store, self._served = store, served
        self._due: asyncio.Queue[str] = asyncio.Queue()
        self.feed = Feed(store.storage, store.resource, self._put, lambda policy: None)

    def _put(self, policy: Object) -> None:
        if _behind(policy):
            self._due.put_nowait(policy["metadata"]["name"])

    async def run(self) -> None:
        """Until cancelled; beside the feed."""
        while True:
            name = await self._due.get()
            try:
                await self._store.modify("", name, self._checked)
            except status.ApiError as error:
                if not status.is_not_found(error):
                    log.warning("the status of ValidatingAdmissionPolicy %s: %s", name, error)
            except Exception:
                # A policy works without a status; the next one gets its own.
                log.exception("the status of ValidatingAdmissionPolicy %s", name)

    async def _checked(self, policy: Object) -> Object:
        if not _behind(policy):
            return policy
        from controlplane.apiserver.admission.policies.checks import type_warnings  # CEL, for whom has policies

        warnings = type_warnings(policy, self._served())
        found: Object = {"typeChecking": {"expressionWarnings": warnings} if warnings else {}}
        found["observedGeneration"] = policy["metadata"].get("generation") or 0
        return {**policy, "status": {**(policy.get("status") or {}), **found}}


def _behind(policy: Object) -> bool:
    observed = (policy.get("status") or {}).get("observedGeneration") or 0
    return bool(observed < (policy["metadata"].get("generation") or 0))
