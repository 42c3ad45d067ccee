import asyncio
import os

import pytest

from apimachinery.kit.commands import CommandFailed, CommandNotFound, CommandTimeout, run


async def test_output_and_input() -> None:
    assert (await run("tr", "a-z", "A-Z", input=b"abc")).stdout == b"ABC"


async def test_input_may_be_made_while_the_command_starts() -> None:
    assert (await run("cat", input=lambda: b"abc")).stdout == b"abc"
    with pytest.raises(ZeroDivisionError):
        await run("cat", input=lambda: bytes(1 // 0))


async def test_a_failure_says_command_code_and_last_words() -> None:
    with pytest.raises(CommandFailed, match=r"sh -c 'echo no >&2; exit 3': exit code 3: no"):
        await run("sh", "-c", "echo no >&2; exit 3")


async def test_a_failure_may_be_asked_for_as_a_value() -> None:
    assert (await run("false", check=False)).code == 1


async def test_an_absent_command() -> None:
    with pytest.raises(CommandNotFound, match="no-such-command"):
        await run("no-such-command")


async def test_a_command_that_does_not_end_is_killed() -> None:
    with pytest.raises(CommandTimeout):
        await run("sleep", "60", timeout=0.1)


async def test_cancelling_kills_the_command(tmp_path) -> None:
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(run("sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"))
    while not (pid_file.exists() and pid_file.read_text().strip()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
