"""Fifty clients increment one number by compare-and-set, over two servers where the store allows two."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import orjson

from bench.api_load import drive, request
from bench.api_rows import PATH, prepare
from bench.api_server import Credentials, Server
from tests.hostile.kills import Etcd, Killed, starts
from tests.integration.process import wait_until

CLIENTS = 50
EACH = 10  # increments that a client brings through
TARGET = f"{PATH}/configmaps/number"


class _Client(threading.Thread):
    """Reads, adds one, writes at the version it has read; again until it has EACH times been told 2xx."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self.acknowledged = self.conflicts = 0
        self.failure = ""

    def run(self) -> None:
        (connection,) = self._server.connect(1, "admin")  # the second server may not know of the load's rights yet
        while self.acknowledged < EACH:
            drive([connection], [request("GET", TARGET)])
            current = orjson.loads(connection.body())
            current["data"]["value"] = str(int(current["data"]["value"]) + 1)
            try:
                drive([connection], [request("PUT", TARGET, orjson.dumps(current))])
            except RuntimeError as error:
                if not str(error).startswith("409"):
                    self.failure = str(error)
                    return
                self.conflicts += 1
            else:
                self.acknowledged += 1
        connection.close()


def contended(store: str, directory: Path) -> list[str]:
    """What was wrong: nothing when the final value is the number of writes that were acknowledged."""
    credentials = Credentials(directory)
    with ExitStack() as undo:
        if store == "etcd":
            etcd = Etcd(directory / "etcd")
            etcd.start()
            undo.callback(etcd.kill)
            servers = [Killed(f"--etcd-servers={etcd.url}", directory / name, credentials) for name in ("one", "two")]
        else:
            servers = [Killed(f"--storage-sqlite={directory}/store.db", directory / "one", credentials)]
        for server in servers:
            wait_until("the server starts", lambda server=server: starts(server))
            undo.callback(server.stop)
        prepare(servers[0])
        servers[0].admin(
            "POST", f"{PATH}/configmaps", orjson.dumps({"metadata": {"name": "number"}, "data": {"value": "0"}})
        )
        clients = [_Client(servers[number % len(servers)]) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        values = [int(orjson.loads(server.admin("GET", TARGET))["data"]["value"]) for server in servers]
    problems = [client.failure for client in clients if client.failure]
    acknowledged = sum(client.acknowledged for client in clients)
    if set(values) != {acknowledged}:
        problems.append(f"{acknowledged} writes were acknowledged, and the servers say {values}")
    if not any(client.conflicts for client in clients):
        problems.append("nobody ever lost a race: nothing was tested")
    return problems
