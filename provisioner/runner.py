"""Runs a plan: every step as soon as those before it are done, machines in parallel, done steps skipped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from provisioner.context import Context
from provisioner.errors import LabError, StepFailed, Stopped, os_reason
from provisioner.plan import LAB, Step, check_plan
from provisioner.progress import Progress

#: Steps at once. More than machines of a usual lab; connections and libvirt calls wait, they do not compute.
PARALLEL = 16


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
    # Not a with block: its exit would wait for threads before the stop event is set.
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="step")
    try:
        while waiting or running:
            if failure is None:
                ready = [step for step in waiting if all(name in done for name in step.after)]
                for step in ready:
                    waiting.remove(step)
                    running[pool.submit(_run_step, step, context, progress)] = step
            if not running:
                break
            ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                step = running.pop(future)
                error = future.exception()
                if error is None:
                    done.add(step.id)
                    ran.append(future.result())
                elif failure is None:
                    failure = error
                    context.stop.set()
    except KeyboardInterrupt:
        context.stop.set()
        wait(running, timeout=60)
        raise Stopped() from None
    finally:
        context.stop.set()
        pool.shutdown(wait=failure is None, cancel_futures=True)
        context.close()
    if failure is not None:
        raise failure
    return ran


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
    except StepFailed as error:
        progress.failed(step, error)
        raise
    except LabError as error:
        failed = _explain(step, str(error), error.advice, context)
        progress.failed(step, failed)
        raise failed from error
    except OSError as error:
        failed = _explain(step, *os_reason(error), context)
        progress.failed(step, failed)
        raise failed from error
    seconds = time.monotonic() - begun
    progress.finished(step, seconds)
    return Ran(step.id, done=True, seconds=seconds)


def _explain(step: Step, reason: str, advice: str, context: Context) -> StepFailed:
    console: Sequence[str] = ()
    if step.scope != LAB:
        console = context.driver.console_tail(context.lab.machine(step.scope))
    default = "Run kubelab up again to continue from here, or kubelab destroy to remove everything."
    return StepFailed(step.scope, step.name, reason, console=console, advice=f"{advice} {default}".strip())
