"""The encryption configuration as it is now: read at the start, with its KMS plug-ins asked, and again when its file
changes, if the server was told to look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.reloads import Reloads

if TYPE_CHECKING:  # the ciphers, which a server without encryption does without
    from controlplane.apiserver.encryption.configuration import Encryption
    from controlplane.apiserver.encryption.providers import Providers
    from controlplane.apiserver.encryption.validation import Resource

log = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds between two looks at the file."""


class Current:
    """`value` is what holds now. A changed file holds once all of its KMS plug-ins are well."""

    def __init__(self, file: Path, clock: Clock, *, reload: bool) -> None:
        """Reads the file. Raises ValueError, OSError."""
        self._path, self._clock, self._reload = file, clock, reload
        self._reloads: Reloads | None = None  # once there is something to be counted
        watched = [file] if reload else []
        self._file = Reloading("the encryption configuration", watched, self._load, monotonic=clock.monotonic)
        self._now = self._file.value
        self._pending: Encryption | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def value(self) -> Mapping[Resource, Providers]:
        """The providers of each resource."""
        return self._now.resources

    @property
    def probed(self) -> bool:
        """Whether there is something to check: a KMS plug-in, or the chance of one."""
        return self._reload or bool(self._now.plugins)

    async def start(self) -> None:
        """Ask the plug-ins of now; one that is away is asked on."""
        await self._now.start()
        if self._reload:
            self._keep(self._follow())

    async def check(self) -> None:
        """Raises when a KMS plug-in is not well (/readyz/kms-providers)."""
        await self._now.check()

    async def close(self) -> None:
        """End all that `start` began."""
        await cancel_and_wait(*self._tasks)
        for each in (self._now, self._pending):
            if each is not None:
                await each.close()

    def _load(self) -> Encryption:
        from controlplane.apiserver.encryption.configuration import load

        try:
            return load(self._path, self._clock)
        except (ValueError, OSError):
            self._count("failure")
            raise

    def _count(self, status: str) -> None:
        if self._reloads is not None:
            self._reloads.count(status)

    async def _follow(self) -> None:
        self._reloads = Reloads("encryption", self._clock)
        said = ""
        while True:
            await self._clock.sleep(_EVERY)
            found = self._file.value
            if found is not self._pending:
                await self._drop()
                if found is self._now:
                    continue
                self._pending, said = found, ""
                await found.start()
            try:
                await found.check()
            except Exception as error:
                if str(error) != said:
                    said = str(error)
                    self._count("failure")
                    log.error("health check for new transformers failed, the old ones stay: %s", said)
                continue
            old, self._now, self._pending = self._now, found, None
            self._count("success")
            log.info("the changed encryption configuration holds")
            self._keep(self._leave(old))

    async def _drop(self) -> None:
        """Whatever waited for its plug-ins, and is not in the file any more."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            await pending.close()

    async def _leave(self, old: Encryption) -> None:
        await self._clock.sleep(old.grace)  # requests may still be reading with it
        await old.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
