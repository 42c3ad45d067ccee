"""The first process of a netns machine: runs services, restarts them, answers ``systemctl`` on a socket.

``python -m provisioner.units.supervisor FOLDER``: FOLDER is on the host and on the machine (there ``/run/kubelab``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.units.unitfile import Service, UnitError, load_service

SOCKET = "supervisor.sock"
WANTS = Path("/etc/systemd/system/multi-user.target.wants")
_STOP_DEADLINE = 20.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class _Running:
    """A started service and the task that keeps it running."""

    service: Service
    task: asyncio.Task[None]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    stopping: bool = False
    last: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Services by name. All methods run on one event loop."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, _Running] = {}
        self._lock = asyncio.Lock()

    async def boot(self) -> None:
        """Start what is enabled."""
        for link in sorted(WANTS.glob("*.service")):
            with contextlib.suppress(UnitError):
                await self.start(link.name)

    async def answer(self, verb: str, names: list[str]) -> tuple[int, str]:
        """One systemctl request: exit code and text."""
        full = [name if "." in name else f"{name}.service" for name in names]
        async with self._lock:
            match verb:
                case "daemon-reload":
                    return 0, ""
                case "start":
                    for name in full:
                        await self.start(name)
                    return 0, ""
                case "stop":
                    for name in reversed(full):
                        await self.stop(name)
                    return 0, ""
                case "restart":
                    for name in reversed(full):
                        await self.stop(name)
                    for name in full:
                        await self.start(name)
                    return 0, ""
                case "is-active":
                    states = [self._state(name) for name in full]
                    return (0 if set(states) == {"active"} else 3), "\n".join(states)
                case "status" | "list-units":
                    text = "\n".join(self._describe(name) for name in full or sorted(self._running))
                    return max((self._status_code(name) for name in full), default=0), text
                case "show":
                    return 0, "\n\n".join(self._properties(name) for name in full)
                case "main-pid":
                    return 0, "\n".join(str(self._pid(name)) for name in full)
                case "poweroff":
                    for name in reversed(list(self._running)):
                        await self.stop(name)
                    return 0, ""
        return 1, f"Unknown command verb {verb}."

    async def start(self, name: str) -> None:
        """Start a service unless it runs. Returns when its process has been made. Raises ``UnitError``."""
        current = self._running.get(name)
        if current is not None and not current.task.done():
            return
        service = load_service(name)
        running = _Running(service, asyncio.create_task(asyncio.sleep(0)))
        running.task = asyncio.create_task(self._keep(running))
        self._running[name] = running
        await running.started.wait()

    async def stop(self, name: str) -> None:
        """SIGTERM, then SIGKILL after a while; with KillMode=control-group also its children. Not restarted."""
        running = self._running.get(name)
        if running is None:
            return
        running.stopping = True
        process = running.process
        if process is not None and process.returncode is None:
            _signal(running, signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_DEADLINE):
                    await process.wait()
            except TimeoutError:
                _signal(running, signal.SIGKILL)
        running.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running.task

    async def _keep(self, running: _Running) -> None:
        service = running.service
        environment = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **service.environment}
        with (self._logs / f"{service.name}.log").open("ab", buffering=0) as log:
            while True:
                try:
                    for argv in service.pre:
                        await (
                            await asyncio.create_subprocess_exec(*argv, env=environment, stdout=log, stderr=log)
                        ).wait()
                    # A session of its own: one signal reaches the service and its children, and no terminal does.
                    running.process = await asyncio.create_subprocess_exec(
                        *service.argv,
                        env=environment,
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                    running.started.set()
                    code = await running.process.wait()
                    running.last = (
                        f"exited with code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
                    )
                except OSError as error:
                    running.last = f"cannot be started: {error}"
                    code = 203
                    running.started.set()
                log.write(f"{service.name}: {running.last}\n".encode())
                again = service.restart == "always" or (service.restart == "on-failure" and code != 0)
                if running.stopping or not again:
                    return
                running.restarts += 1
                await asyncio.sleep(service.restart_sec)

    def _pid(self, name: str) -> int:
        running = self._running.get(name)
        process = running.process if running is not None else None
        return process.pid if process is not None and process.returncode is None else 0

    def _state(self, name: str) -> str:
        running = self._running.get(name)
        if running is None or running.stopping:
            return "inactive"
        if self._pid(name):
            return "active"
        return "failed" if running.task.done() else "activating"

    def _status_code(self, name: str) -> int:
        """systemctl(1): 4 for a unit that there is not, 3 for one that does not run."""
        if name not in self._running:
            try:
                load_service(name)
            except UnitError:
                return 4
        return 3 if self._state(name) in ("inactive", "failed") else 0

    def _properties(self, name: str) -> str:
        """Of systemd's properties those that say how a service is doing, whichever are asked for."""
        restarts = running.restarts if (running := self._running.get(name)) is not None else 0
        return f"Id={name}\nNRestarts={restarts}\nActiveState={self._state(name)}"

    def _describe(self, name: str) -> str:
        running = self._running.get(name)
        if running is None:
            return f"Unit {name} could not be found." if self._status_code(name) == 4 else f"{name}: inactive"
        what = f"{name} - {running.service.description}\n   Active: {self._state(name)}; {running.restarts} restarts"
        if pid := self._pid(name):
            what += f"; main PID {pid}"
        return f"{what}; last {running.last}" if running.last else what


def _signal(running: _Running, number: int) -> None:
    process = running.process
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if running.service.group_kill:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


async def serve(folder: Path) -> None:
    """Boot, then answer on the socket until ``poweroff`` or SIGTERM."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    supervisor = Supervisor(logs)
    stop = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request: dict[str, Any] = json.loads(await reader.readline())
            try:
                code, text = await supervisor.answer(request["verb"], request["units"])
            except UnitError as error:
                code, text = 5, str(error)
            writer.write(json.dumps({"code": code, "text": text}).encode() + b"\n")
            await writer.drain()
            if request["verb"] == "poweroff":
                stop.set()
        finally:
            writer.close()

    print(f"{os.uname().nodename}: supervisor started", flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await supervisor.boot()
    server = await asyncio.start_unix_server(handle, folder / SOCKET)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
