"""systemd's unit files as the netns supervisor reads them, and the supervisor itself with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from provisioner.units import supervisor as module
from provisioner.units.client import journalctl
from provisioner.units.supervisor import Supervisor
from provisioner.units.unitfile import UnitError, expand, load_service, read_environment, read_settings, unit_files


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_drop_ins_environment_and_expansion(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.service",
        "[Unit]\nDescription=the a\n[Service]\nExecStart=/bin/first\nRestart=always\nRestartSec=2\n",
    )
    write(
        tmp_path,
        "a.service.d/10.conf",
        f'[Service]\nEnvironment="ARGS=--one --two=2" X=y\nEnvironmentFile=-{tmp_path}/absent\n'
        f"EnvironmentFile={tmp_path}/env\nExecStart=\nExecStart=/bin/second $ARGS $MORE ${{X}} $NOTHING\n",
    )
    write(tmp_path, "env", 'MORE="--three --four"\n# comment\n')
    service = load_service("a", [tmp_path])
    assert service.argv == ("/bin/second", "--one", "--two=2", "--three", "--four", "y")
    assert (service.description, service.restart, service.restart_sec) == ("the a", "always", 2.0)


def test_an_earlier_folder_wins(tmp_path: Path) -> None:
    write(tmp_path, "etc/a.service", "[Service]\nExecStart=/bin/etc\n")
    write(tmp_path, "usr/a.service", "[Service]\nExecStart=/bin/usr\n")
    assert load_service("a.service", [tmp_path / "etc", tmp_path / "usr"]).argv == ("/bin/etc",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Service]\n", "has 0 ExecStart="),
        ("[Service]\nExecStart=/a\nExecStart=/b\n", "has 2 ExecStart="),
        ("[Service]\nExecStart=/a\nEnvironmentFile=/nonexistent\n", "does not exist"),
        ("[Service]\nnonsense\n", "is not a setting"),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "a.service", text)
    with pytest.raises(UnitError, match=message):
        load_service("a", [tmp_path])


def test_a_missing_unit_is_named() -> None:
    with pytest.raises(UnitError, match=r"Unit nope\.service could not be found"):
        load_service("nope", [])


def test_continued_lines_and_comments() -> None:
    settings: dict[str, list[str]] = {}
    read_settings("# c\n; d\n[S]\nA=1\\\n   2\nB=x\nB=\nB=y\n", settings)
    assert settings == {"A": ["1 2"], "B": ["y"]}


def test_quoted_environment_values() -> None:
    assert read_environment("A=\"x y\"\nB='z'\n\n#C=1\n") == {"A": "x y", "B": "z"}


def test_a_variable_in_a_word_is_put_in_place() -> None:
    assert expand("run --a=${A} $A", {"A": "x y"}) == ["run", "--a=x y", "x", "y"]


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "units"
    folder.mkdir()
    monkeypatch.setattr(module, "load_service", lambda name: load_service(name, [folder]))
    return folder


async def until_state(supervisor: Supervisor, name: str, state: str) -> None:
    async with asyncio.timeout(10):
        while (await supervisor.answer("is-active", [name]))[1] != state:
            await asyncio.sleep(0.01)


async def test_start_stop_and_states(tmp_path: Path, units: Path) -> None:
    write(units, "s.service", "[Service]\nExecStart=/bin/sleep 100\n")
    supervisor = Supervisor(tmp_path)
    assert await supervisor.answer("is-active", ["s"]) == (3, "inactive")
    await supervisor.answer("start", ["s"])
    assert await supervisor.answer("is-active", ["s"]) == (0, "active")
    _, first = await supervisor.answer("main-pid", ["s"])
    await supervisor.answer("start", ["s"])
    assert (await supervisor.answer("main-pid", ["s"]))[1] == first
    await supervisor.answer("restart", ["s"])
    assert (await supervisor.answer("main-pid", ["s"]))[1] != first
    await supervisor.answer("stop", ["s"])
    assert await supervisor.answer("is-active", ["s"]) == (3, "inactive")


async def test_a_service_that_ends_is_started_again_when_it_says_so(tmp_path: Path, units: Path) -> None:
    runs = tmp_path / "runs"
    script = f"echo run >> {runs}; test $(wc -l < {runs}) -lt 3 || exec sleep 100"
    write(units, "again.service", f"[Service]\nExecStart=/bin/sh -c '{script}'\nRestart=always\nRestartSec=0.01\n")
    write(units, "once.service", "[Service]\nExecStart=/bin/false\nRestart=no\n")
    supervisor = Supervisor(tmp_path)
    await supervisor.answer("start", ["again", "once"])
    async with asyncio.timeout(10):
        while not runs.exists() or len(runs.read_text().splitlines()) < 3:
            await asyncio.sleep(0.01)
    await until_state(supervisor, "again", "active")
    await until_state(supervisor, "once", "failed")
    await supervisor.answer("poweroff", [])
    assert "exited with code 1" in (tmp_path / "once.service.log").read_text()


async def test_status_of_a_service_that_was_killed_tells_how_and_its_new_process(tmp_path: Path, units: Path) -> None:
    write(units, "k.service", "[Service]\nExecStart=/bin/sleep 100\nRestart=always\nRestartSec=0.01\n")
    supervisor = Supervisor(tmp_path)
    await supervisor.answer("start", ["k"])
    first = (await supervisor.answer("main-pid", ["k"]))[1]
    os.kill(int(first), signal.SIGKILL)
    async with asyncio.timeout(10):
        while (again := (await supervisor.answer("main-pid", ["k"]))[1]) in ("0", first):
            await asyncio.sleep(0.01)
    _, text = await supervisor.answer("status", ["k"])
    await supervisor.answer("poweroff", [])
    assert text.endswith(f"Active: active; 1 restarts; main PID {again}; last killed by SIGKILL")


async def test_a_program_that_is_not_there_is_told(tmp_path: Path, units: Path) -> None:
    write(units, "gone.service", "[Service]\nExecStart=/nonexistent/program\n")
    supervisor = Supervisor(tmp_path)
    await supervisor.answer("start", ["gone"])
    await until_state(supervisor, "gone", "failed")
    assert "cannot be started" in (await supervisor.answer("status", ["gone"]))[1]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("-u kubelet", ["1", "2", "3", "4"]),
        ("-xeu kubelet --no-pager", ["1", "2", "3", "4"]),
        ("-u kubelet -n 2", ["3", "4"]),
        ("-n2 -ukubelet.service", ["3", "4"]),
        ("--unit=kubelet --lines=1", ["4"]),
        ("--unit kubelet -r -n 2", ["4", "3"]),
        ("-x", ["-- No entries of no unit (name one with -u) --"]),
        ("-u absent", ["-- No entries of absent --"]),
    ],
)
def test_journalctl_as_people_type_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: str, lines: list[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/kubelet.service.log").write_text("1\n2\n3\n4\n")
    assert journalctl(words.split(), tmp_path) == 0
    assert capfd.readouterr().out.splitlines() == lines


def test_the_files_of_a_unit(tmp_path: Path) -> None:
    first, second = tmp_path / "etc", tmp_path / "lib"
    for path in (first / "web.service.d/10-x.conf", second / "web.service", second / "web.service.d/1.conf"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [str(path.relative_to(tmp_path)) for path in unit_files("web", (first, second))]
    assert found == ["lib/web.service", "lib/web.service.d/1.conf", "etc/web.service.d/10-x.conf"]
    with pytest.raises(UnitError, match="could not be found"):
        unit_files("other", (first, second))
