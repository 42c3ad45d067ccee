"""What is told of a machine that ran out of memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from apimachinery.kit.tasks import cancel_and_wait
from nodeagent.kubelet.oom import Log, OomWatcher

BEGIN = "stress invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0"
MACHINE = [
    BEGIN,
    "Mem-Info:",
    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/user.slice/a,task=stress,pid=41,uid=0",
    "Out of memory: Killed process 41 (stress) total-vm:1000kB, anon-rss:10kB, file-rss:0kB, shmem-rss:0kB, UID:0",
]
GROUP = [
    BEGIN,
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=cri-1,mems_allowed=0,oom_memcg=/kubepods/podu/c,"
    "task_memcg=/kubepods/podu/c,task=stress,pid=42,uid=0",
    "Memory cgroup out of memory: Killed process 42 (stress) total-vm:1000kB, anon-rss:10kB, UID:0",
]
OLD_GROUP = [BEGIN, "Task in /kubepods/podu/c killed as a result of limit of /kubepods/podu", "Killed process 43 (a)"]
TOLD = "System OOM encountered, victim process: stress, pid: 41"


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (MACHINE, [TOLD]),
        (GROUP, []),
        (OLD_GROUP, []),
        ([*GROUP, *MACHINE, "eth0: up", *OLD_GROUP, *MACHINE], [TOLD, TOLD]),
        (["Killed process 1 (a)"], []),
    ],
)
def test_what_the_log_tells(entries: list[str], told: list[str]) -> None:
    log = Log()
    assert [each for each in map(log.feed, entries) if each] == told


async def test_an_event_tells_it(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    writing = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    said: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
    task = asyncio.create_task(OomWatcher(lambda *event: said.put_nowait(event), path).run())
    try:
        for number, entry in enumerate([*GROUP, *MACHINE]):
            os.write(writing, f"3,{number},1000,-;{entry}\n SUBSYSTEM=memory; Killed process 9 (no)\n".encode())
        async with asyncio.timeout(10):
            assert await said.get() == ("Warning", "SystemOOM", TOLD)
        assert said.empty()
    finally:
        await cancel_and_wait(task)
        os.close(writing)


async def test_a_log_that_may_not_be_read_is_no_end(tmp_path: Path) -> None:
    task = asyncio.create_task(OomWatcher(lambda *_: None, tmp_path / "none").run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    await cancel_and_wait(task)
