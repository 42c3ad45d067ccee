"""systemd-logind over D-Bus: the inhibitor lock that delays a shutdown, and the signal that one is coming.

Interfaces: org.freedesktop.login1(5), systemd's "Inhibitor Locks"; org.freedesktop.systemd1(5) to make logind re-read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from apimachinery.kit.files import write_atomic

_LOGIND, _OBJECT, _MANAGER = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
_OVERRIDES = Path("/etc/systemd/logind.conf.d")
_TIMEOUT = 25.0


class LogindProblem(Exception):
    """logind cannot be asked, or refuses. The text says what was tried."""


class Inhibitor(Protocol):
    """What delays a shutdown. The real one is `Logind`."""

    async def longest_delay(self) -> float: ...

    async def allow_delay(self, seconds: float) -> None: ...

    async def inhibit(self) -> int: ...

    def shutdowns(self) -> AsyncIterator[bool]: ...

    async def close(self) -> None: ...


class Logind:
    """A connection to the system bus. Made by `connect`; every method raises LogindProblem."""

    def __init__(self, bus: Any, overrides: Path) -> None:
        self._bus, self._overrides = bus, overrides
        self._told: asyncio.Queue[bool | None] = asyncio.Queue()

    @classmethod
    async def connect(cls, overrides: Path = _OVERRIDES) -> Logind:
        """Connect to the system bus (DBUS_SYSTEM_BUS_ADDRESS, else its usual socket)."""
        # Imported here: only a node with a grace period for its shutdown needs it.
        from dbus_fast import BusType
        from dbus_fast.aio import MessageBus
        from dbus_fast.errors import DBusFastError

        try:
            bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
        except (OSError, DBusFastError, EOFError) as error:
            raise LogindProblem(f"cannot connect to the system bus: {error}") from error
        found = cls(bus, overrides)
        await found._listen()
        return found

    async def longest_delay(self) -> float:
        """Seconds for which logind lets itself be delayed (InhibitDelayMaxSec)."""
        body = [_MANAGER, "InhibitDelayMaxUSec"]
        answer = await self._call(_LOGIND, _OBJECT, "org.freedesktop.DBus.Properties", "Get", "ss", body)
        return int(answer.body[0].value) / 1_000_000

    async def allow_delay(self, seconds: float) -> None:
        """Configure a longer delay and make logind read it, as the kubelet does (99-kubelet.conf)."""
        try:
            self._overrides.mkdir(parents=True, exist_ok=True)
            text = f"# Kubelet logind override\n[Login]\nInhibitDelayMaxSec={seconds:.0f}\n"
            write_atomic(self._overrides / "99-kubelet.conf", text)
        except OSError as error:
            raise LogindProblem(f"failed writing logind shutdown inhibit override file: {error}") from error
        systemd, interface = "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager"
        body = ["systemd-logind.service", "all", 1]  # SIGHUP
        await self._call(systemd, "/org/freedesktop/systemd1", interface, "KillUnit", "ssi", body)

    async def inhibit(self) -> int:
        """Take the lock; returns its file descriptor. Closing it lets the shutdown go on."""
        body = ["shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay"]
        answer = await self._call(_LOGIND, _OBJECT, _MANAGER, "Inhibit", "ssss", body)
        if not answer.unix_fds:
            raise LogindProblem("failed creating systemd inhibitor: the answer holds no file descriptor")
        return int(answer.unix_fds[answer.body[0]])

    async def shutdowns(self) -> AsyncIterator[bool]:
        """True for a shutdown that begins, False for one that was cancelled; ends with the connection."""
        while (begins := await self._told.get()) is not None:
            yield begins

    async def close(self) -> None:
        self._bus.disconnect()

    async def _listen(self) -> None:
        rule = f"type='signal',interface='{_MANAGER}',member='PrepareForShutdown',path='{_OBJECT}'"
        self._bus.add_message_handler(self._heard)
        self._ending = asyncio.create_task(self._until_closed())
        await self._call(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", [rule]
        )

    async def _until_closed(self) -> None:
        try:
            await self._bus.wait_for_disconnect()
        except (OSError, EOFError):
            pass
        finally:
            self._told.put_nowait(None)

    def _heard(self, message: Any) -> None:
        if message.interface == _MANAGER and message.member == "PrepareForShutdown" and message.signature == "b":
            self._told.put_nowait(bool(message.body[0]))

    async def _call(self, service: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Any:
        from dbus_fast import Message, MessageType
        from dbus_fast.errors import DBusFastError

        message = Message(
            destination=service, path=path, interface=interface, member=member, signature=signature, body=body
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._bus.call(message)
        except (TimeoutError, OSError, EOFError, DBusFastError) as error:
            raise LogindProblem(f"{interface}.{member}: {error or 'no answer'}") from error
        if answer is None or answer.message_type is MessageType.ERROR:
            why = answer.body[0] if answer is not None and answer.body else "refused"
            raise LogindProblem(f"{interface}.{member}: {why}")
        return answer


def release(lock: int) -> None:
    """Let go of an inhibitor lock."""
    os.close(lock)
