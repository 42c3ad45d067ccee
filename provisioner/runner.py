"""Runs a plan: every step as soon as those before it are done, machines in parallel, done steps skipped."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from provisioner.context import Context
from provisioner.errors import LabError, StepFailed, Stopped, os_reason
from provisioner.plan import LAB, Step, check_plan
from provisioner.progress import Progress

#: Steps at once. More than machines of a usual lab; connections and libvirt calls wait, they do not compute.
PARALLEL = 16
_NEXT = "Run kubelab up again to continue from here, or kubelab destroy to remove everything."


@dataclass(frozen=True, slots=True)
class Ran:
    """How a step went. seconds: 0 when the journal knew it was done."""

    step: str
    done: bool
    seconds: float


def run_plan(steps: Sequence[Step], context: Context, progress: Progress) -> list[Ran]:
    """Run all steps. Raises ``StepFailed`` with the first failure, after steps under way have ended.

    Ctrl-C sets ``context.stop``, which every wait looks at, and raises ``Stopped``. What succeeded is in the journal.
    """
    check_plan(steps)
    waiting = list(steps)
    done: set[str] = set()
    running: dict[Future[Ran], Step] = {}
    ran: list[Ran] = []
    failure: BaseException | None = None
    with _interrupts(context.stop) as told, ThreadPoolExecutor(PARALLEL, thread_name_prefix="step") as pool:
        while waiting or running:
            if not context.stop.is_set():
                ready = [step for step in waiting if all(name in done for name in step.after)]
                for step in ready:
                    waiting.remove(step)
                    running[pool.submit(_run_step, step, context, progress)] = step
            if not running:
                break
            ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in ended:
                step = running.pop(future)
                error = future.exception()
                if error is None:
                    done.add(step.id)
                    ran.append(future.result())
                elif failure is None or isinstance(failure, Stopped):
                    failure = error
                    context.stop.set()
    context.stop.set()
    context.close()
    if told.is_set() and (failure is not None or waiting):
        raise Stopped()
    if failure is not None:
        raise failure
    return ran


@contextlib.contextmanager
def _interrupts(stop: threading.Event) -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set ``stop`` and the event that is given. A second one is what it was before.

    As exceptions they would arrive anywhere, also between the start of a thread and its being known.
    """
    told = threading.Event()
    before: dict[int, Any] = {}

    def handle(_number: int, _frame: object) -> None:
        told.set()
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield told
    finally:
        restore()


def _run_step(step: Step, context: Context, progress: Progress) -> Ran:
    if context.stop.is_set():
        raise Stopped()
    begun = time.monotonic()
    try:
        parts = step.action.parts(context)
        changed = context.journal.changed(step.id, parts) if parts is not None else frozenset()
        if parts is not None and not changed:
            progress.skipped(step)
            return Ran(step.id, done=False, seconds=0.0)
        progress.started(step)
        step.action.run(context, changed)
        if parts is not None:
            context.journal.record(step.id, parts)
    except (LabError, OSError) as error:
        if context.stop.is_set():
            # What was cut off is no failure of its own.
            progress.stopped(step)
            raise Stopped() from error
        failed = _explain(step, error, context)
        progress.failed(step, failed)
        raise failed from error
    seconds = time.monotonic() - begun
    progress.finished(step, seconds)
    return Ran(step.id, done=True, seconds=seconds)


def _explain(step: Step, error: LabError | OSError, context: Context) -> StepFailed:
    reason, advice = (str(error), error.advice) if isinstance(error, LabError) else os_reason(error)
    advice = f"{advice}\n{_NEXT}" if advice else _NEXT
    if isinstance(error, StepFailed):
        return StepFailed(error.scope, error.step, error.reason, console=error.console, advice=advice)
    console: Sequence[str] = ()
    if step.scope != LAB:
        console = context.driver.console_tail(context.lab.machine(step.scope))
    # The machine is named before the step.
    reason = reason.removeprefix(f"{step.scope}: ")
    return StepFailed(step.scope, step.name, reason, console=console, advice=advice)
