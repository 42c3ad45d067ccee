"""Telling a person, or a program, how far a plan is: live lines, plain lines, or JSON lines."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from provisioner.errors import StepFailed

if TYPE_CHECKING:
    from provisioner.plan import Step


class Progress(Protocol):
    """Hears of steps from several threads."""

    notes: list[str]

    def started(self, step: Step) -> None: ...

    def finished(self, step: Step, seconds: float) -> None: ...

    def skipped(self, step: Step) -> None: ...

    def failed(self, step: Step, error: StepFailed) -> None: ...

    def stopped(self, step: Step) -> None:
        """It was cut off by Ctrl-C or by another step's failure, and did nothing wrong."""

    def note(self, scope: str, text: str) -> None: ...

    def detail(self, scope: str, text: str) -> None: ...

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...


class PlainProgress:
    """One line when a step starts and one when it ends; nothing for what was done before."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self.notes: list[str] = []
        self._out, self._begun, self._lock = out, time.monotonic(), threading.Lock()
        self._details: dict[str, str] = {}

    def _line(self, scope: str, text: str) -> None:
        with self._lock:
            print(f"{time.monotonic() - self._begun:7.1f}s  {scope:<10} {text}", file=self._out, flush=True)

    def started(self, step: Step) -> None:
        self._line(step.scope, f"{step.action.title} ...")

    def finished(self, step: Step, seconds: float) -> None:
        self._line(step.scope, f"{step.action.title}: done in {seconds:.1f} s")

    def skipped(self, step: Step) -> None:
        return

    def failed(self, step: Step, error: StepFailed) -> None:
        self._line(step.scope, f"{step.action.title}: FAILED: {error.reason}")

    def stopped(self, step: Step) -> None:
        self._line(step.scope, f"{step.action.title}: stopped")

    def note(self, scope: str, text: str) -> None:
        self.notes.append(f"{scope}: {text}")
        self._line(scope, text)

    def detail(self, scope: str, text: str) -> None:
        if self._details.get(scope) != text:
            self._details[scope] = text
            self._line(scope, f"  {text}")

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return


class JsonProgress(PlainProgress):
    """The same as one JSON object a line: event, scope, step, and seconds, error or text."""

    def _event(self, event: str, scope: str, **more: object) -> None:
        record = {"event": event, "at": round(time.monotonic() - self._begun, 3), "scope": scope, **more}
        with self._lock:
            print(json.dumps(record), file=self._out, flush=True)

    def started(self, step: Step) -> None:
        self._event("started", step.scope, step=step.name)

    def finished(self, step: Step, seconds: float) -> None:
        self._event("finished", step.scope, step=step.name, seconds=round(seconds, 3))

    def skipped(self, step: Step) -> None:
        self._event("skipped", step.scope, step=step.name)

    def failed(self, step: Step, error: StepFailed) -> None:
        self._event("failed", step.scope, step=step.name, error=error.reason)

    def stopped(self, step: Step) -> None:
        self._event("stopped", step.scope, step=step.name)

    def note(self, scope: str, text: str) -> None:
        self.notes.append(f"{scope}: {text}")
        self._event("note", scope, text=text)

    def detail(self, scope: str, text: str) -> None:
        if self._details.get(scope) != text:
            self._details[scope] = text
            self._event("detail", scope, text=text)


class LiveProgress:
    """One line per machine that moves: what it does now, for how long, and how many of its steps are done."""

    def __init__(self, steps: Sequence[Step]) -> None:
        from rich.console import Console

        self.notes: list[str] = []
        self._console = Console(stderr=True)
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._total: dict[str, int] = {}
        for step in steps:
            self._total[step.scope] = self._total.get(step.scope, 0) + 1
        self._done = dict.fromkeys(self._total, 0)
        self._now: dict[str, tuple[str, float]] = {}
        self._details: dict[str, str] = {}
        #: Scopes that a failure or Ctrl-C ended, and what they were at.
        self._ended: dict[str, str] = {}
        self._live: Any = None

    def started(self, step: Step) -> None:
        with self._lock:
            self._now[step.scope] = (step.action.title, time.monotonic())
            self._details.pop(step.scope, None)

    def finished(self, step: Step, seconds: float) -> None:
        self._end(step)

    def skipped(self, step: Step) -> None:
        self._end(step)

    def failed(self, step: Step, error: StepFailed) -> None:
        with self._lock:
            self._ended[step.scope] = f"{step.action.title}: failed"

    def stopped(self, step: Step) -> None:
        with self._lock:
            self._ended.setdefault(step.scope, f"{step.action.title}: stopped")

    def note(self, scope: str, text: str) -> None:
        self.notes.append(f"{scope}: {text}")
        self._console.print(f"[yellow]{scope}[/]: {text}", highlight=False)

    def detail(self, scope: str, text: str) -> None:
        with self._lock:
            self._details[scope] = text

    def _end(self, step: Step) -> None:
        with self._lock:
            self._done[step.scope] += 1
            self._now.pop(step.scope, None)
            self._details.pop(step.scope, None)

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        moment = time.monotonic()
        with self._lock:
            for scope, total in self._total.items():
                doing, since = self._now.get(scope, ("", moment))
                done = self._done[scope]
                if end := self._ended.get(scope):
                    mark, text, elapsed = Text("✗", "red"), end, ""
                elif doing:
                    mark = Text("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(moment * 10) % 10], "cyan")
                    detail = self._details.get(scope)
                    text, elapsed = f"{doing}: {detail}" if detail else doing, f"{moment - since:.0f} s"
                elif done == total:
                    mark, text, elapsed = Text("✓", "green"), "done", ""
                else:
                    mark, text, elapsed = Text("·", "dim"), "waiting for the others" if done else "", ""
                table.add_row(mark, Text(scope, "bold"), f"{done}/{total}", Text(text), Text(elapsed, "dim"))
        table.add_row("", Text(f"{moment - self._begun:.0f} s in all", "dim"))
        return table

    def __enter__(self) -> LiveProgress:
        from rich.live import Live

        self._live = Live(self, console=self._console, refresh_per_second=8)
        self._live.__enter__()
        return self

    def __exit__(self, *arguments: object) -> None:
        self._live.__exit__(*arguments)


def make_progress(steps: Sequence[Step], *, as_json: bool) -> Progress:
    """Live lines on a terminal, plain lines elsewhere, JSON lines on standard output when asked for."""
    if as_json:
        return JsonProgress(sys.stdout)
    return LiveProgress(steps) if sys.stderr.isatty() else PlainProgress()
