"""One connection to libvirt's daemon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from controlplane.cloud.provider import CloudProblem

Answer = TypeVar("Answer")

URI = "qemu:///system"


class LibvirtProblem(CloudProblem):
    """libvirt refused, or does not answer."""


class Libvirtd:
    """Connected when first needed, and again when the daemon was restarted. One call at a time.

    connection: what calls work with; None outside of them before the first.
    """

    def __init__(self, uri: str = URI) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self.connection: Any = None

    async def call(self, action: Callable[[Any], Answer]) -> Answer:
        """Run `action` on a thread and give it the module libvirt. Raises LibvirtProblem, and what it
        raises."""
        return await asyncio.to_thread(self._locked, action)

    def _locked(self, action: Callable[[Any], Answer]) -> Answer:
        import libvirt  # a tenth of a second, and not there where machines are namespaces

        with self._lock:
            try:
                if self.connection is None:
                    # Errors arrive as exceptions; the library would print each on stderr as well.
                    libvirt.registerErrorHandler(lambda _context, _error: None, None)
                    self.connection = libvirt.open(self._uri)
                return action(libvirt)
            except libvirt.libvirtError as error:
                if self.connection is not None and not self.connection.isAlive():
                    self.connection = None
                raise LibvirtProblem(f"libvirt: {error}") from error
