import asyncio
import os
from pathlib import Path

import pytest
import uvloop

from apimachinery.kit.commands import CommandError, CommandFailed, CommandNotFound, CommandTimeout, run


async def test_output_and_input() -> None:
    assert (await run("tr", "a-z", "A-Z", input=b"abc")).stdout == b"ABC"


async def test_input_is_made_piece_by_piece_while_the_command_works(tmp_path) -> None:
    seen = tmp_path / "seen"

    def pieces():
        yield b"first\n"
        while not seen.exists():  # the command has read the first piece before there is a second
            yield b""
        yield b"second\n"

    answer = await run("sh", "-c", f"read line && touch {seen} && echo $line && cat", input=pieces(), timeout=60)
    assert answer.text == "first\nsecond\n"


async def test_more_input_and_output_than_pipes_hold() -> None:
    sent = [bytes([number]) * 300_000 for number in range(20)]
    assert (await run("cat", input=iter(sent), timeout=60)).stdout == b"".join(sent)


async def test_when_a_piece_cannot_be_made_the_command_does_not_take_the_rest_for_all(tmp_path) -> None:
    def pieces():
        yield b"a part"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run("sh", "-c", f"cat > /dev/null && touch {tmp_path / 'whole'}", input=pieces())
    assert not (tmp_path / "whole").exists()


async def test_who_does_not_read_its_input_says_why_by_its_code() -> None:
    with pytest.raises(CommandFailed, match="exit code 4"):
        await run("sh", "-c", "exit 4", input=(bytes(100_000) for _ in range(20)), timeout=60)


async def test_other_tasks_run_while_input_is_made() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    try:
        await run("cat", input=(b"x" for _ in range(50)), timeout=60)
    finally:
        counting.cancel()
    assert turns >= 50


async def test_too_much_output_is_an_error_and_not_kept() -> None:
    with pytest.raises(CommandError, match="printed more than"):
        await run("cat", "/dev/zero", timeout=60)
    with pytest.raises(CommandError, match="printed more than"):
        await run("sh", "-c", "cat /dev/zero | cat; true", timeout=60)


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_descriptor_and_no_process_is_left_on_either_loop(loop) -> None:
    async def many() -> None:
        await run("true")
        before = descriptors()
        answers = await asyncio.gather(*(run("sh", "-c", "cat; echo x >&2", input=b"1") for _ in range(20)))
        assert all((answer.code, answer.stdout, answer.stderr) == (0, b"1", b"x\n") for answer in answers)
        with pytest.raises(CommandTimeout):
            await run("sleep", "60", input=(bytes(100_000) for _ in range(20)), timeout=0.1)
        assert descriptors() == before

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(many())


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
