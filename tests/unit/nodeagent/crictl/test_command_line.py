"""Command lines as Go's flag package reads them; the configuration file; what is told when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.crictl.commands import COMMANDS, find
from nodeagent.crictl.main import main
from nodeagent.crictl.options import Options, UsageError, duration, parse
from nodeagent.crictl.settings import read_settings

SOURCE = Path(__file__).resolve().parents[4]


def read(command: str, *words: str) -> Options:
    found = find(command)
    assert found is not None
    return parse(found.flags, words)


def test_flags_in_every_spelling() -> None:
    options = read("ps", "-aq", "--name=web", "-state", "exited", "--label", "a=b,c=d", "--label=e=f", "--last", "3")
    assert options["all"] and options["quiet"] and options["name"] == "web" and options["state"] == "exited"
    assert options["label"] == ("a=b", "c=d", "e=f") and options["last"] == 3 and not options["latest"]
    assert options.given == {"all", "quiet", "name", "state", "label", "last"}


def test_reading_ends_at_the_first_argument() -> None:
    options = read("exec", "-it", "abc", "ls", "-l", "--all")
    assert options["interactive"] and options["tty"] and options.arguments == ["abc", "ls", "-l", "--all"]
    assert read("exec", "--", "-x").arguments == ["-x"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nope"], "flag provided but not defined: -nope"),
        (["-az"], "flag provided but not defined: -az"),
        (["--name"], "flag needs an argument: -name"),
        (["--last=x"], 'invalid value "x" for flag -last: parse error'),
        (["--all=maybe"], 'invalid boolean value "maybe" for -all: parse error'),
    ],
)
def test_what_cannot_be_read(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        read("ps", *words)


def test_durations() -> None:
    assert duration("1h2m3.5s") == 3723.5 and duration("-300ms") == -0.3 and duration("0") == 0
    for text in ("", "1", "s", "1d"):
        with pytest.raises(ValueError, match="invalid duration"):
            duration(text)


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert main([command.name, "--help"]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"NAME:\n   crictl {command.name} - {command.usage}") and "--help, -h" in said
    assert main([]) == 0
    said = capsys.readouterr().out
    assert "COMMANDS:" in said and "imagefsinfo" in said and "--runtime-endpoint value, -r value" in said


def test_complaints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["frob"]) == 3
    assert capsys.readouterr().err == "No help topic for 'frob'\n"
    assert main(["ps", "--nope"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("Incorrect Usage: flag provided but not defined: -nope\n\nNAME:\n   crictl ps")
    assert 'level=fatal msg="flag provided but not defined: -nope"' in said.err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "crictl version v1.32.0\n"


def test_the_configuration_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "etc" / "crictl.yaml"
    base = ["--config", str(file), "config"]
    assert main([*base, "--set", "runtime-endpoint=unix:///run/a.sock,timeout=10", "--set=debug=true"]) == 0
    assert read_settings(str(file)).timeout == 10
    file.write_text("# by hand\n" + file.read_text() + "newer-key: 1\n")
    assert main([*base, "debug", "false"]) == 0
    assert file.read_text().startswith("# by hand\n") and "newer-key: 1" in file.read_text()
    capsys.readouterr()
    assert main([*base, "--get", "runtime-endpoint"]) == 0
    assert capsys.readouterr().out == "unix:///run/a.sock\n"
    assert main([*base, "--list"]) == 0
    assert "debug                  false\n" in capsys.readouterr().out
    assert main([*base, "--set", "nope=1"]) == 1
    assert "no configuration option named nope" in capsys.readouterr().err
    assert main(["--config", str(tmp_path / "none"), "ps"]) == 1
    assert "no such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("module", sorted({command.place.partition(":")[0] for command in COMMANDS}))
def test_the_standard_library_is_enough(module: str) -> None:
    """The launcher starts Python without site packages."""
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import nodeagent.crictl.{module}"
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
