"""The command line: what a person may get wrong, and what each mistake is answered with."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioner import lifecycle
from provisioner.cli import NO_SUCH_UNIT, find_log_command, logs_command, remote_command, run
from provisioner.complaints import explain, wants_json
from provisioner.drivers import State
from provisioner.errors import BadInput, StepFailed, Stopped
from provisioner.home import LabHome
from provisioner.specfile import parse_lab


@pytest.mark.parametrize("unit", ["kubelet", "kube-apiserver; touch x", "$(touch x)", "a'b"])
def test_the_commands_for_logs_are_whole_for_any_name(unit: str, tmp_path: Path) -> None:
    journal, file = logs_command(unit, "", 5, follow=False), logs_command(unit, unit, 5, follow=False)
    for command in (find_log_command(unit), journal, file):
        subprocess.run(["/bin/sh", "-n", "-c", command], check=True)
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env={"PATH": "/usr/bin"}, check=False)
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_is_nowhere_has_its_own_code(tmp_path: Path) -> None:
    found = subprocess.run(["/bin/sh", "-c", find_log_command("no-such-unit")], check=False, capture_output=True)
    assert found.returncode == NO_SUCH_UNIT


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ls", "--lab", "x"], (None, ["ls", "--lab", "x"])),
        (["--lab", "x", "ls", "-l"], ("x", ["ls", "-l"])),
        (["--lab=x"], ("x", [])),
        (["--", "ls"], (None, ["ls"])),
    ],
)
def test_a_lab_may_be_named_behind_the_node(words: list[str], expected: tuple[str | None, list[str]]) -> None:
    assert remote_command(words, None) == expected


def test_what_is_neither_option_nor_command_is_refused() -> None:
    with pytest.raises(BadInput, match="--follow is no option"):
        remote_command(["--follow", "x"], None)


def test_logs_are_a_files_end_or_a_units_journal() -> None:
    assert logs_command("kubelet", "", 5, follow=False) == "exec journalctl --no-pager -u kubelet -n 5"
    assert logs_command("etcd", "/var/log/pods/x y.log", 7, follow=True) == "exec tail -n 7 -f '/var/log/pods/x y.log'"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["up", "--file", "/nonexistent.yaml"], 2, "there is no such file"),
        (["up", "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["status"], 2, "there is no lab in"),
        (["ssh", "worker-9"], 2, "there is no lab in"),
        (["destroy", "--lab", "absent"], 2, "there is no lab 'absent'"),
        (["halt"], 2, "there is no lab in"),
    ],
)
def test_mistakes_end_with_2_and_no_traceback(
    argv: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path))
    assert run(argv) == code
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == [], "something was created"


def test_json_errors_are_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path))
    assert run(["status", "--json"]) == 2
    assert "there is no lab" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    "argv",
    [
        ["up", "--json", "--file", "/nonexistent.yaml"],
        ["destroy", "--json"],
        ["halt", "--json"],
        ["logs", "worker-1", "--json"],
        ["sync", "--json"],
        ["verify", "--json"],
        ["image", "load", "x", "--json"],
        ["status", "--json", "--nonsense"],
    ],
)
def test_every_command_complains_in_json(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path))
    assert run(argv) == 2
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["event"], err) == ("error", "")
    assert said["problems"] == [said["error"]]


def test_a_file_and_the_host_are_complained_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    lab = tmp_path / "lab.yaml"
    lab.write_text("name: bad-luck\ndriver: netns\nworkres: 1\n")
    assert run(["up", "--json", "--file", str(lab)]) == 2
    said = json.loads(capsys.readouterr().out)["problems"]
    assert said[0] == f"{lab}:3: workres: unknown key; did you mean workers?"
    assert said[1].startswith(f"{lab}:2: driver: netns needs containerd, ") and "apt-get install" in said[1]
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path / "file"))
    (tmp_path / "lab.yaml").write_text("name: bad-luck\ndriver: netns\nnetwork: 10.213.4.0/24\n")
    assert run(["up", "--file", str(tmp_path / "lab.yaml")]) == 1
    assert capsys.readouterr().err == f"kubelab: {tmp_path}/file/labs: Not a directory\n"


def test_no_words_show_the_help_and_complain_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert "Exit codes: 0 done" in out and err == ""


def test_a_wrong_option_points_at_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["image", "load", "--nonsense"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "kubelab image load --help"


def test_what_ssh_and_kubectl_are_given_asks_for_no_json_of_ours() -> None:
    assert not wants_json(["kubectl", "get", "--json"]) and not wants_json(["ssh", "x", "--json"])
    assert wants_json(["status", "--json"]) and not wants_json(["status", "--", "--json"])


@pytest.mark.parametrize(
    ("error", "code", "message", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left", "/x"), 1, "/x: No space left", "Free some space"),
        (OSError(errno.EACCES, "Permission denied", "/x"), 1, "/x: Permission denied", "Run as root"),
        (shutil.Error([("/a", "/b", "why"), ("/c", "/d", "why")]), 1, "/a: why (and 1 more)", ""),
        (StepFailed("worker-1", "boot", "no answer"), 1, "worker-1: boot: no answer", ""),
        (Stopped(), 130, "stopped", "kubelab up continues"),
        (KeyboardInterrupt(), 130, "stopped", ""),
    ],
)
def test_failures_have_a_code_a_sentence_and_advice(error: BaseException, code: int, message: str, advice: str) -> None:
    complaint = explain(error)
    assert complaint is not None
    assert (complaint.code, complaint.message) == (code, message)
    assert complaint.advice.startswith(advice)


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    assert explain(RuntimeError("a bug")) is None


def test_a_long_reason_does_not_cost_the_table_its_other_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = parse_lab("name: one\ndriver: netns\nworkers: 1\n")
    LabHome(tmp_path, "one").create(lab)
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    reason = "KubeletNotReady: container runtime network not ready: " + "x" * 80
    found = [lifecycle.MachineStatus(machine, State.RUNNING, reason) for machine in lab.machines]
    monkeypatch.setattr(lifecycle, "status", lambda place: found)
    assert run(["status"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for machine, line in zip(lab.machines, lines[1:], strict=True):
        assert machine.name in line and machine.ip in line and line.rstrip().endswith("…"), line
