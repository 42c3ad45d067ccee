"""A whole control plane on a thread of its own, for a state machine whose rules are plain functions.

Waiting is done by a clock that runs twenty times as fast as the machine's: backoffs, tolerations and quarantines of
minutes take seconds. Wall time stays what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from apimachinery.api.catalogue import LEASES, NODES
from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.status import ApiError
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.wire import build as build_scheduler
from tests.integration.faults import Faults, Manager
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.states_auditor import Auditor
from tests.integration.states_world import World, inconsistencies, look, unfinished

Object = dict[str, Any]
T = TypeVar("T")

FACTOR = 20
WITHIN = 120.0  # seconds that coming to rest may take
QUIET = 0.3  # seconds without a write of the controllers that pass for rest
CALL = 60.0  # seconds that one rule may take


class FastClock(SystemClock):
    def monotonic(self) -> float:
        return time.monotonic() * FACTOR

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / FACTOR)


class Tracebacks(logging.Handler):
    """Errors that a component logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter("%(name)s: %(message)s").format(record))


class StatesCluster:
    """What the rules are given. Every method that awaits is run by `do`, on the cluster's thread."""

    def __init__(self, simulation: Simulation, manager: Manager, auditor: Auditor, errors: Tracebacks) -> None:
        self.client, self.fleet = simulation.client, simulation.fleet
        self.auditor, self.errors, self._manager = auditor, errors, manager
        self._loop = asyncio.get_running_loop()
        self._numbers = 0

    def do(self, work: Coroutine[Any, Any, T], within: float = CALL) -> T:
        """Run it there; its result. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def number(self) -> int:
        """Never the same."""
        self._numbers += 1
        return self._numbers

    async def tried(self, work: Coroutine[Any, Any, T], *codes: int) -> T | None:
        """The answer; None for a refusal with one of the codes."""
        try:
            return await work
        except ApiError as error:
            if error.code not in codes:
                raise
            return None

    async def add_node(self, name: str, cpu: int) -> None:
        """A Ready node; cpu: whole ones."""
        self.auditor.cpu[name] = cpu * 1000
        await self.fleet.add(name, cpu=str(cpu))

    async def remove_node(self, name: str) -> None:
        """The machine is gone for good, with the pods on it."""
        self.fleet.forget(name)
        await self.tried(self.client.delete(NODES, name), 404)
        await self.tried(self.client.delete(LEASES, name, "kube-node-lease"), 404)

    async def rest(self, namespace: str, *, finished: bool) -> World:
        """Wait until nothing is inconsistent and the controllers write nothing. finished: and all wishes granted."""
        end, wrong = time.monotonic() + WITHIN, ["nothing was looked at"]
        while True:
            writes = self._manager.writes.total()
            world = await look(self.client, namespace)
            wrong = inconsistencies(world) + (unfinished(world) if finished else [])
            if not wrong:
                await asyncio.sleep(QUIET)
                if self._manager.writes.total() == writes and await self.auditor.caught_up():
                    return world
                wrong = ["the controllers write on and on"]
            if time.monotonic() > end:
                told = "\n  ".join(wrong)
                last = self._manager.writes.most_common(5)
                raise AssertionError(f"no rest within {WITHIN:g} s:\n  {told}\nmost writes: {last}")
            await asyncio.sleep(0.1)

    async def eventually(self, condition: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
        end = time.monotonic() + WITHIN
        while not await condition():
            assert time.monotonic() < end, f"not within {WITHIN:g} s: {what}"
            await asyncio.sleep(0.1)


@contextmanager
def states_cluster(directory: Path, faults: Faults) -> Iterator[StatesCluster]:
    """Run it until the end of the block."""
    errors, ready, stop = Tracebacks(), threading.Event(), asyncio.Event()
    made: list[StatesCluster] = []
    failed: list[BaseException] = []

    async def main() -> None:
        async with (
            simulated_cluster(directory, grace=3600.0, eviction_rate=10.0, scheduler=False, controllers=False) as found,
            Manager(found, faults, FastClock()) as manager,
            Auditor(found.client, found.fleet) as auditor,
        ):
            config = SchedulerConfig(load_kubeconfig(directory / "scheduler.conf"))
            scheduler = asyncio.create_task(build_scheduler(config, FastClock()).run(asyncio.Event()))
            made.append(StatesCluster(found, manager, auditor, errors))
            ready.set()
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((scheduler, stopping), return_when=asyncio.FIRST_COMPLETED)
            await cancel_and_wait(scheduler, stopping)

    loop = asyncio.new_event_loop()

    def serve() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    logger = logging.getLogger("controlplane")
    logger.addHandler(errors)
    thread = threading.Thread(target=serve, name="cluster")
    thread.start()
    try:
        ready.wait()
        if not failed:
            yield made[0]
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        logger.removeHandler(errors)
    if failed:
        raise failed[0]
