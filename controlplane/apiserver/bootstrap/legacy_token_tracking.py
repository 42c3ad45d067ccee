"""The ConfigMap that says since when it is noted which tokens of Secrets are used: nothing may be concluded about the
time before (pkg/controlplane/controller/legacytokentracking)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.authn.legacy_tokens import DATE
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.storage.interface import StorageError

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAMESPACE, NAME, KEY = "kube-system", "kube-apiserver-legacy-service-account-token-tracking", "since"
PERIOD = 60.0  # seconds between two looks
_PAUSE = timedelta(minutes=30)
"""Between two that one server makes: beside a server that does not track, and deletes it, they would fight."""


class LegacyTokenTracking:
    """Runs beside the server."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self._made: datetime | None = None

    async def run(self) -> None:
        """Keep the ConfigMap until cancelled."""
        while True:
            try:
                await self.ensure()
            except (status.ApiError, StorageError) as error:
                log.warning("%s/%s: %s", NAMESPACE, NAME, error)
            await self._clock.sleep(PERIOD)

    async def ensure(self) -> None:
        """Make it where there is none, and mend a date that is none. Raises ApiError, StorageError."""
        store, now = self._registry.of(CONFIGMAPS).store, self._clock.now()
        have = await store.find(NAMESPACE, NAME)
        wanted = plan_config_map(have, self._made, now)
        if wanted is None:
            return
        try:
            if have is not None:
                await store.replace(wanted, have)
                return
            metadata.fill_created(store.resource, wanted, now)
            await store.create(wanted)
            self._made = now
        except status.ApiError as error:
            if not (status.is_already_exists(error) or status.is_conflict(error) or status.is_not_found(error)):
                raise


def plan_config_map(have: Object | None, made: datetime | None, now: datetime) -> Object | None:
    """The ConfigMap to write, or None when it is well or must wait. made: when this server made one last."""
    if have is not None:
        data = have.get("data") or {}
        return None if is_date(data.get(KEY)) else {**have, "data": {**data, KEY: now.strftime(DATE)}}
    if made is not None and now < made + _PAUSE:
        return None
    meta = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {KEY: now.strftime(DATE)}}


def is_date(text: Any) -> bool:
    """Whether a text is a date of such labels."""
    try:
        return datetime.strptime(str(text), DATE).strftime(DATE) == str(text)  # Go wants two digits
    except ValueError:
        return False
