"""The plan's order, and what the runner does with it: skip, continue, fail loudly, stop."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from provisioner.context import Context
from provisioner.drivers import Driver
from provisioner.errors import LabError, StepFailed
from provisioner.home import LabHome
from provisioner.journal import Journal
from provisioner.plan import Step, check_plan, plan_sync, plan_up
from provisioner.progress import JsonProgress, PlainProgress
from provisioner.runner import run_plan
from provisioner.specfile import parse_lab

LAB = parse_lab("")


class Recorded:
    """An action that records its runs."""

    title = "recorded"

    def __init__(self, log: list[str], name: str, parts: Mapping[str, str] | None, work: Callable[[], None]) -> None:
        self.log, self.name, self._parts, self._work = log, name, parts, work

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return self._parts

    def run(self, context: Context, changed: frozenset[str]) -> None:
        self._work()
        self.log.append(f"{self.name}({','.join(sorted(changed))})")


class Console:
    """As much of a driver as the runner asks for when a step fails."""

    def console_tail(self, machine: object, lines: int = 20) -> list[str]:
        return ["last line of the console"]


def context(tmp_path: Path) -> Context:
    place = LabHome(tmp_path, "lab")
    driver = cast(Driver, Console())
    return Context(LAB, place, driver, tmp_path, Journal(tmp_path / "journal.json"), PlainProgress(io.StringIO()))


def step(log: list[str], name: str, *after: str, parts: Mapping[str, str] | None = None,
         work: Callable[[], None] = lambda: None) -> Step:  # fmt: skip
    return Step("lab", name, Recorded(log, name, parts, work), tuple(f"lab/{each}" for each in after))


def run(steps: list[Step], tmp_path: Path) -> None:
    run_plan(steps, context(tmp_path), PlainProgress(io.StringIO()))


def test_a_step_comes_after_those_it_names(tmp_path: Path) -> None:
    log: list[str] = []
    run([step(log, "a"), step(log, "b", "a"), step(log, "c", "a", "b")], tmp_path)
    assert log == ["a()", "b()", "c()"]


def test_independent_steps_run_at_once(tmp_path: Path) -> None:
    log: list[str] = []
    meeting = threading.Barrier(3, timeout=10)
    run([step(log, name, work=lambda: meeting.wait() and None) for name in "abc"], tmp_path)
    assert sorted(log) == ["a()", "b()", "c()"]


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    log: list[str] = []
    steps = [step(log, "a", parts={"x": "1", "y": "1"}), step(log, "b")]
    run(steps, tmp_path)
    run(steps, tmp_path)
    assert sorted(log) == ["a(x,y)", "b()", "b()"]


def test_only_what_changed_is_named(tmp_path: Path) -> None:
    log: list[str] = []
    run([step(log, "a", parts={"x": "1", "y": "1"})], tmp_path)
    run([step(log, "a", parts={"x": "1", "y": "2"})], tmp_path)
    assert log == ["a(x,y)", "a(y)"]


def test_a_failure_is_told_and_the_next_run_continues(tmp_path: Path) -> None:
    log: list[str] = []
    broken = [True]

    def work() -> None:
        if broken[0]:
            raise LabError("the reason", advice="Do this.")

    steps = [
        Step("worker-1", "a", Recorded(log, "a", {"x": "1"}, lambda: None)),
        Step("worker-1", "b", Recorded(log, "b", {"x": "1"}, work), ("worker-1/a",)),
        Step("worker-1", "c", Recorded(log, "c", None, lambda: None), ("worker-1/b",)),
    ]
    with pytest.raises(StepFailed) as caught:
        run(steps, tmp_path)
    assert (caught.value.scope, caught.value.step, caught.value.reason) == ("worker-1", "b", "the reason")
    assert caught.value.console == ("last line of the console",)
    assert "Do this." in caught.value.advice and "kubelab up again" in caught.value.advice
    assert log == ["a(x)"]
    broken[0] = False
    run(steps, tmp_path)
    assert log == ["a(x)", "b(x)", "c()"]


def test_a_machine_made_anew_forgets_its_steps(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.record("worker-1/code", {"x": "1"})
    journal.record("worker-10/code", {"x": "1"})
    journal.forget("worker-1")
    again = Journal(tmp_path / "journal.json")
    assert again.changed("worker-1/code", {"x": "1"}) == {"x"}
    assert again.changed("worker-10/code", {"x": "1"}) == frozenset()


def test_a_broken_journal_says_so(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text("{")
    with pytest.raises(LabError, match="not JSON"):
        Journal(tmp_path / "journal.json")


def test_json_progress_is_one_object_a_line() -> None:
    out = io.StringIO()
    progress = JsonProgress(out)
    done = step([], "a")
    progress.started(done)
    progress.finished(done, 1.25)
    progress.note("lab", "text")
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["started", "finished", "note"]
    assert events[1]["seconds"] == 1.25


@pytest.mark.parametrize("make", [plan_up, plan_sync])
def test_the_real_plans_are_sound(make: Callable[..., list[Step]]) -> None:
    check_plan(make(LAB))


def test_the_plan_boots_before_it_installs_and_waits_last() -> None:
    ids = [each.id for each in plan_up(LAB)]
    for name in ("master-1", "worker-1", "worker-2"):
        places = [ids.index(f"{name}/{each}") for each in ("create", "boot", "code", "files", "services")]
        assert places == sorted(places)
    assert ids[-6:] == ["lab/api", "lab/addons", "lab/nodes", "lab/control-plane", "lab/dns", "lab/metrics"]


def test_a_plan_with_a_step_before_its_own_need_is_refused() -> None:
    with pytest.raises(ValueError, match="comes before lab/b"):
        check_plan([step([], "a", "b"), step([], "b")])
