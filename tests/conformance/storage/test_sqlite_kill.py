"""kill -9 of a writing process loses no acknowledged write."""

import asyncio
import sys

import pytest

from controlplane.apiserver.storage.sqlite import SqliteStorage

WRITER = """
import asyncio, sys
from controlplane.apiserver.storage.sqlite import SqliteStorage

async def write(store, worker):
    number = 0
    while True:
        key = f"/registry/w/{worker}-{number}"
        revision = await store.create(key, b"x" * 1000)
        if number % 3 == 1:
            revision = await store.update(key, b"y" * 1000, revision)
        print(key, revision, flush=True)
        number += 1

async def main():
    store = await SqliteStorage.open(sys.argv[1])
    await asyncio.gather(*(write(store, worker) for worker in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 300, 2000])
async def test_kill(tmp_path, acknowledged: int) -> None:
    path = tmp_path / "state.db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    lines = []
    async with asyncio.timeout(60):
        while len(lines) < acknowledged:
            lines.append(await writer.stdout.readline())
        writer.kill()
        lines += (await writer.stdout.read()).splitlines()
        await writer.wait()
    written = {line.split()[0].decode(): int(line.split()[1]) for line in lines if len(line.split()) == 2}
    assert len(written) >= acknowledged

    store = await SqliteStorage.open(path)
    page = await store.list("/registry/w/")
    found = {item.key: item.mod_revision for item in page.items}
    assert {key: found.get(key) for key in written} == written
    assert page.revision >= max(written.values())
    assert await store.create("/registry/w/after", b"x") == page.revision + 1
    await store.close()
