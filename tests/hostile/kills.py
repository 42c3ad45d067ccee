"""`python -m tests.hostile.kills [--count N] [--store sqlite|etcd] [--seed N]`: SIGKILL under writes, again and again.

Writers count in objects of their own, create others and delete them. After each kill the server is started again and
asked: what was acknowledged must be there, what was deleted must not, and nothing is there that nobody sent. On etcd
every fourth kill is etcd's, too. Exit code 1 when anything is lost.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from bench.api_load import Connection, drive, request
from bench.api_rows import PATH, prepare
from bench.api_server import Credentials, Server
from tests.integration.ports import free_port
from tests.integration.process import wait_until

WRITERS = 6
LONGEST = 0.5  # seconds of writing before a kill, at most
ETCD_EVERY = 4


class Etcd:
    """An etcd that can be killed and started again on what it has."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._argv = [
            "etcd", f"--data-dir={directory}", f"--listen-client-urls={self._client}",
            f"--advertise-client-urls={self._client}", f"--listen-peer-urls={peer}", "--log-level=error",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}", "--logger=zap",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._client

    def start(self) -> None:
        self._process = subprocess.Popen(self._argv, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Killed(Server):
    """The API server on a store that outlives it."""

    def __init__(self, flag: str, directory: Path, credentials: Credentials) -> None:
        super().__init__("ours", directory, credentials)
        self._flags = [flag]
        directory.mkdir()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None


class Writer(threading.Thread):
    """Writes until nobody answers. counted: the last number acknowledged; sent: the last one sent; made, gone: names
    whose creation or deletion was acknowledged; doubtful: those whose last request had no answer."""

    def __init__(self, number: int, server: Server, counted: int, held: list[str], serial: int) -> None:
        super().__init__()
        self._target, self._server, self._prefix = f"{PATH}/configmaps/counter-{number}", server, f"n{number}-{serial}"
        self.counted = self.sent = counted
        self.made = list(held)
        self.gone: list[str] = []
        self.doubtful: list[str] = []
        self.acknowledged = 0

    def run(self) -> None:
        try:
            (connection,) = self._server.connect(1)
        except OSError:
            return
        for turn in range(1_000_000):
            try:
                self._write(connection, turn)
            except (OSError, TimeoutError):
                return
            self.acknowledged += 1

    def _write(self, connection: Connection, turn: int) -> None:
        if turn % 4 == 1:
            name = f"{self._prefix}-{turn}"
            self.doubtful.append(name)
            body = orjson.dumps({"metadata": {"name": name}})
            drive([connection], [request("POST", f"{PATH}/configmaps", body)])
            self.made.append(self.doubtful.pop())
        elif turn % 4 == 3 and len(self.made) > 5:
            self.doubtful.append(self.made.pop(0))
            drive([connection], [request("DELETE", f"{PATH}/configmaps/{self.doubtful[-1]}")])
            self.gone.append(self.doubtful.pop())
        else:
            self.sent += 1
            body = orjson.dumps({"data": {"count": str(self.sent)}})
            drive([connection], [request("PATCH", self._target, body, "application/merge-patch+json")])
            self.counted = self.sent


def killed(store: str, count: int, seed: int, directory: Path) -> tuple[int, list[str]]:
    """How many writes were acknowledged over `count` kills, and what was wrong after them."""
    chance = random.Random(seed)
    credentials = Credentials(directory)
    etcd = Etcd(directory / "etcd") if store == "etcd" else None
    flag = f"--storage-sqlite={directory}/store.db"
    if etcd is not None:
        etcd.start()
        flag = f"--etcd-servers={etcd.url}"
    server = Killed(flag, directory / "server", credentials)
    counts = dict.fromkeys(range(WRITERS), 0)
    held: dict[int, list[str]] = {number: [] for number in counts}
    acknowledged, problems = 0, []
    try:
        if etcd is not None:
            wait_until("etcd answers", lambda: starts(server))
        else:
            server.start()
        prepare(server)
        for number in counts:
            body = orjson.dumps({"metadata": {"name": f"counter-{number}"}, "data": {"count": "0"}})
            server.admin("POST", f"{PATH}/configmaps", body)
        for serial in range(count):
            writers = [Writer(number, server, counts[number], held[number], serial) for number in counts]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(0.01, LONGEST))
            server.kill()
            if etcd is not None and serial % ETCD_EVERY == 0:
                etcd.kill()
            for writer in writers:
                writer.join()
            if etcd is not None and serial % ETCD_EVERY == 0:
                etcd.start()
            wait_until("the server starts again", lambda: starts(server))
            found = {each["metadata"]["name"]: each for each in _listed(server)}
            for number, writer in enumerate(writers):
                problems += [f"kill {serial}: {problem}" for problem in _lost(number, writer, found)]
                counts[number] = int(found[f"counter-{number}"]["data"]["count"])
                held[number] = [name for name in found if name.startswith(f"n{number}-")]
                acknowledged += writer.acknowledged
            if problems:
                break
    finally:
        server.stop()
        if etcd is not None:
            etcd.kill()
    return acknowledged, problems


def starts(server: Server) -> bool:
    """Start it; False while its store does not answer yet."""
    try:
        server.start()
    except SystemExit:  # etcd is not there yet
        return False
    return True


def _listed(server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = orjson.loads(server.admin("GET", f"{PATH}/configmaps"))["items"]
    return items


def _lost(number: int, writer: Writer, found: dict[str, dict[str, Any]]) -> list[str]:
    """What does not fit what the writer was told."""
    count = int(found[f"counter-{number}"]["data"]["count"])
    problems = []
    if not writer.counted <= count <= writer.sent:
        problems.append(f"counter {number} is at {count}, was acknowledged at {writer.counted}, sent {writer.sent}")
    problems += [f"{name} was created and is not there" for name in writer.made if name not in found]
    problems += [f"{name} was deleted and is there" for name in writer.gone if name in found]
    known = {*writer.made, *writer.doubtful}
    problems += [f"{name} comes from nowhere" for name in found if name.startswith(f"n{number}-") and name not in known]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--store", choices=("sqlite", "etcd"), default="sqlite")
    options = parser.parse_args()
    directory, began = Path(tempfile.mkdtemp(prefix="kubelab-kills-")), time.monotonic()
    try:
        acknowledged, problems = killed(options.store, options.count, options.seed, directory)
    finally:
        shutil.rmtree(directory)
    print(
        f"{options.store}, seed {options.seed}: {options.count} kills in {time.monotonic() - began:.0f} s, "
        f"{acknowledged:,} writes acknowledged, {len(problems)} problems"
    )
    for problem in problems:
        print(f"- {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
