"""The systemd driver: cgroups as slices, made and limited over D-Bus, so that systemd knows of them and lets them be.

What runc's own systemd driver does for containers (libcontainer/cgroups/systemd), here for pods and those above them.
Interface: org.freedesktop.systemd1(5); properties: systemd.resource-control(5), in the units of D-Bus.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from apimachinery.kit.tasks import CommandFailed
from nodeagent.kubelet import qos
from nodeagent.kubelet.qos import Limits

Property = tuple[str, str, Any]
"""Name, D-Bus signature, value."""

INFINITY = (1 << 64) - 1

_SYSTEMD, _OBJECT, _MANAGER = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
)
_TIMEOUT = 30.0
# Jobs whose end was told before we knew that they were ours.
_REMEMBERED = 256


class SystemdProblem(CommandFailed, OSError):
    """systemd cannot be asked, or refuses. The text says what was tried; a kubelet that ends of it says no more."""


class Units(Protocol):
    """Slices. The real one is `Systemd`; every method raises SystemdProblem."""

    async def start(self, unit: str, properties: Sequence[Property]) -> None: ...

    async def change(self, unit: str, properties: Sequence[Property]) -> None: ...

    async def stop(self, unit: str) -> None: ...


def plan_slice(parent: str, *, v2: bool) -> list[Property]:
    """What a slice of ours is. parent: the slice that it lies in, "" for none."""
    accounting = ["CPUAccounting", "MemoryAccounting", "TasksAccounting", "IOAccounting" if v2 else "BlockIOAccounting"]
    return [
        ("Description", "s", "libcontainer container of the kubelet"),
        *((("Wants", "as", [parent]),) if parent else ()),
        ("DefaultDependencies", "b", False),
        *((name, "b", True) for name in accounting),
    ]


def plan_limits(limits: Limits, *, v2: bool, pids: int = -1) -> list[Property]:
    """The properties for these limits, all of them: what is not limited is set free. pids: -1 for no limit."""
    quota = INFINITY
    if limits.cpu_quota:
        # systemd keeps hundredths of a processor; runc rounds up as well.
        quota = -(-limits.cpu_quota * 1_000_000 // limits.cpu_period // 10_000) * 10_000
    weight = ("CPUWeight", "t", qos.cpu_weight(limits.cpu_shares)) if v2 else ("CPUShares", "t", limits.cpu_shares)
    return [
        weight,
        ("CPUQuotaPerSecUSec", "t", quota),
        ("CPUQuotaPeriodUSec", "t", limits.cpu_period),
        ("MemoryMax" if v2 else "MemoryLimit", "t", limits.memory or INFINITY),
        ("TasksMax", "t", pids if pids > 0 else INFINITY),
    ]


class Systemd:
    """systemd's manager on the system bus. Connects on first use, and again after the bus was restarted."""

    def __init__(self) -> None:
        self._bus: Any = None
        self._connecting = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()

    async def start(self, unit: str, properties: Sequence[Property]) -> None:
        """Start a transient slice, with those it lies in; one that is there is given the properties."""
        try:
            await self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", [unit, "replace", _variants(properties), []])
        except SystemdProblem as error:
            if "UnitExists" not in str(error):
                raise
            await self.change(unit, [each for each in properties if each[0] not in ("Wants", "DefaultDependencies")])

    async def change(self, unit: str, properties: Sequence[Property]) -> None:
        """Change limits until the next boot."""
        await self._call("SetUnitProperties", "sba(sv)", [unit, True, _variants(properties)])

    async def stop(self, unit: str) -> None:
        """Stop a slice and what is in it. Absent is success."""
        try:
            await self._job("StopUnit", "ss", [unit, "replace"])
        except SystemdProblem as error:
            if "NoSuchUnit" not in str(error):
                raise

    async def close(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()

    async def _job(self, member: str, signature: str, body: list[Any]) -> None:
        """Call what answers with a job, and wait for its end."""
        job = str((await self._call(member, signature, body)).body[0])
        result = self._ended.pop(job, None)
        if result is None:
            waiting = self._waiting[job] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    result = await waiting
            except TimeoutError:
                raise SystemdProblem(f"{member} {body[0]}: the job did not end in {_TIMEOUT:.0f} s") from None
            finally:
                self._waiting.pop(job, None)
        if result != "done":
            raise SystemdProblem(f"{member} {body[0]}: the job ended as {result}")

    def _heard(self, message: Any) -> None:
        if message.interface != _MANAGER or message.member != "JobRemoved" or message.signature != "uoss":
            return
        _, job, _, result = message.body
        waiting = self._waiting.get(job)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)
        elif waiting is None:
            self._ended[job] = result
            while len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    async def _connected(self) -> Any:
        # Imported here: a node with the cgroupfs driver does not need it.
        from dbus_fast import BusType
        from dbus_fast.aio import MessageBus
        from dbus_fast.errors import DBusFastError

        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                try:
                    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
                except (OSError, DBusFastError, EOFError) as error:
                    raise SystemdProblem(f"cannot connect to the system bus: {error}") from error
                bus.add_message_handler(self._heard)
                rule = f"type='signal',interface='{_MANAGER}',member='JobRemoved',path='{_OBJECT}'"
                dbus = "org.freedesktop.DBus"
                await _send(bus, dbus, "/org/freedesktop/DBus", dbus, "AddMatch", "s", [rule])
                # Without it systemd tells only those who asked for something.
                await _send(bus, _SYSTEMD, _OBJECT, _MANAGER, "Subscribe", "", [])
                self._bus = bus
            return self._bus

    async def _call(self, member: str, signature: str, body: list[Any]) -> Any:
        return await _send(await self._connected(), _SYSTEMD, _OBJECT, _MANAGER, member, signature, body)


async def _send(bus: Any, service: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Any:
    from dbus_fast import Message, MessageType
    from dbus_fast.errors import DBusFastError

    message = Message(
        destination=service, path=path, interface=interface, member=member, signature=signature, body=body
    )
    what = f"{member} {body[0]}" if body else member
    try:
        async with asyncio.timeout(_TIMEOUT):
            answer = await bus.call(message)
    except (TimeoutError, OSError, EOFError, DBusFastError) as error:
        raise SystemdProblem(f"{what}: {error or 'no answer'}") from error
    if answer is None or answer.message_type is MessageType.ERROR:
        name = answer.error_name if answer is not None else "no answer"
        raise SystemdProblem(f"{what}: {name}: {answer.body[0] if answer is not None and answer.body else ''}")
    return answer


def _variants(properties: Sequence[Property]) -> list[list[Any]]:
    from dbus_fast import Variant

    return [[name, Variant(signature, value)] for name, signature, value in properties]
