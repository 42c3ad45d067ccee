"""The Lease by which each API server of a cluster says that it is there, and the end of those whose server is gone
(pkg/controlplane/apiserver, with the gate APIServerIdentity; pkg/controlplane/controller/apiserverleasegc)."""

from __future__ import annotations

import logging
import socket
from datetime import datetime, timedelta
from typing import Any

from apimachinery.api.catalogue import LEASES
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects, status, times
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.reloads import server_name
from controlplane.apiserver.storage.interface import StorageError

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAMESPACE, LABEL, COMPONENT = "kube-system", "apiserver.kubernetes.io/identity", "kube-apiserver"
PERIOD = 10.0  # seconds between two renewals
_HOLDS = 3600  # seconds
_SWEEP_EVERY = 360  # renewals: an hour


class IdentityLease:
    """Runs beside the server. Servers of one host share a Lease, as upstream."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._store, self._clock = registry.of(LEASES).store, clock
        self._name = server_name()
        self._holder = f"{self._name}_{metadata.new_uid()}"

    async def run(self) -> None:
        """Until cancelled."""
        rounds = 0
        while True:
            try:
                await self.renew()
                if rounds % _SWEEP_EVERY == 0:
                    await self.sweep()
            except (StorageError, status.ApiError) as error:
                log.warning("the identity lease could not be renewed: %s", error)
            rounds += 1
            await self._clock.sleep(PERIOD)

    async def renew(self) -> None:
        """Say that this server is there; a Lease that is there keeps its holder. Raises ApiError, StorageError."""
        now = self._clock.now()
        have = await self._store.find(NAMESPACE, self._name)
        said = {LABEL: COMPONENT, "kubernetes.io/hostname": socket.gethostname()}
        try:
            if have is not None:
                meta = {**have["metadata"], "labels": {**objects.labels(have), **said}}
                spec = {**(have.get("spec") or {}), "renewTime": times.rfc3339_micro(now)}
                await self._store.replace({**have, "metadata": meta, "spec": spec}, have)
                return
            lease: Object = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"name": self._name, "namespace": NAMESPACE, "labels": said},
                "spec": {
                    "holderIdentity": self._holder,
                    "leaseDurationSeconds": _HOLDS,
                    "renewTime": times.rfc3339_micro(now),
                },
            }
            metadata.fill_created(self._store.resource, lease, now)
            await self._store.create(lease)
        except status.ApiError as error:
            # Another server of this host does the same at the same time.
            if not (status.is_already_exists(error) or status.is_conflict(error) or status.is_not_found(error)):
                raise

    async def sweep(self) -> None:
        """Remove the Leases of servers that are gone. Raises ApiError, StorageError."""
        for lease in await self._store.all(NAMESPACE):
            if objects.labels(lease).get(LABEL) == COMPONENT and is_expired(lease, self._clock.now()):
                try:
                    await self._store.remove(lease)
                except status.ApiError as error:
                    if not (status.is_not_found(error) or status.is_conflict(error)):
                        raise


def is_expired(lease: Object, now: datetime) -> bool:
    """Whether nobody has renewed it for as long as it holds, or it does not say for how long that is."""
    spec = lease.get("spec") or {}
    renewed, holds = spec.get("renewTime"), spec.get("leaseDurationSeconds")
    if renewed is None or holds is None:
        return True
    return times.parse(renewed) + timedelta(seconds=int(holds)) < now
