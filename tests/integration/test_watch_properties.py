"""Many watchers under load, restarts and compactions: the six properties of a watch, and that replay is the list."""

from __future__ import annotations

import itertools
import random
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import ControlPlane, wait_until
from tests.integration.watch_recorder import Recorder, check_alike, check_complete, check_order, check_transitions

NAMESPACE = "/api/v1/namespaces"
MERGE = {"Content-Type": "application/merge-patch+json"}
WRITES = 250  # acknowledged ones per writer
NAMES = 12  # per writer; few, so that objects come and go
_NUMBERS = itertools.count(1)


@pytest.fixture(params=["sqlite", "two servers on etcd"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[ApiServer]]:
    count, store = (1, "sqlite") if request.param == "sqlite" else (2, request.getfixturevalue("etcd"))
    flags = ("--history-retention=0", "--etcd-compaction-interval=1s")
    made = [ApiServer(tmp_path / "data", store, *flags) for _ in range(count)]
    for server in made:
        server.start()
    yield made
    for server in made:
        assert server.stop() == 0, server.log
        assert "Traceback" not in server.log, server.log


@pytest.fixture
def path(servers: list[ApiServer]) -> str:
    name = f"watched-{next(_NUMBERS)}"
    assert servers[0].request("POST", NAMESPACE, {"metadata": {"name": name}}).code == 201
    return f"{NAMESPACE}/{name}/configmaps"


class Writer(threading.Thread):
    """Creates, changes and deletes objects of its own, on any server; remembers what was acknowledged."""

    def __init__(self, servers: list[ApiServer], path: str, number: int) -> None:
        super().__init__(daemon=True)
        self._servers, self._path, self._number = servers, path, number
        self._random = random.Random(number)
        self.acknowledged: list[int] = []

    def run(self) -> None:
        while len(self.acknowledged) < WRITES:
            try:
                self._write(self._random.choice(self._servers))
            except (OSError, HTTPException):
                continue

    def _write(self, server: ApiServer) -> None:
        name = f"w{self._number}-{self._random.randrange(NAMES)}"
        labels = {"tier": self._random.choice(("front", "back"))}
        document: Any = {"metadata": {"name": name, "labels": labels}, "data": {"n": str(len(self.acknowledged))}}
        verb = self._random.choice(("create", "change", "change", "delete"))
        if verb == "create":
            answer = server.request("POST", self._path, document)
        elif verb == "change":
            answer = server.request("PATCH", f"{self._path}/{name}", document, headers=MERGE)
        else:
            answer = server.request("DELETE", f"{self._path}/{name}")
        # 403: as upstream's, a server that has just started answers before it has read every role.
        assert answer.code in (200, 201, 403, 404, 409, 503, 504), answer.body
        if answer.code in (200, 201) and verb != "delete":
            self.acknowledged.append(int(answer.json["metadata"]["resourceVersion"]))


def test_the_six_properties(servers: list[ApiServer], path: str) -> None:
    selectors = (
        "",
        "",
        "",
        "&labelSelector=tier%3Dfront",
        "&labelSelector=tier%21%3Dfront",
        "&fieldSelector=metadata.name%3Dw0-1",
    )
    recorders = [Recorder(servers, path, selector, number) for number, selector in enumerate(selectors * 4)]
    writers = [Writer(servers, path, number) for number in range(4)]
    for thread in (*recorders, *writers):
        thread.start()

    def written() -> int:
        return sum(len(writer.acknowledged) for writer in writers)

    for share in (1, 2):
        wait_until(
            f"{share} thirds are written", lambda share=share: written() >= share * len(writers) * WRITES / 3, 120
        )
        servers[-1].kill()
        servers[-1].start()
    for writer in writers:
        writer.join(120)
        assert not writer.is_alive()
    goal = max(revision for writer in writers for revision in writer.acknowledged)
    # One object that every selector but the name's sees crossing, so that each has something to end with.
    last: list[int] = [goal]
    for tier in ("front", "back", "front"):
        body = {"metadata": {"name": "w0-1", "labels": {"tier": tier}}, "data": {}}
        answer = servers[0].request("PATCH", f"{path}/w0-1", body, headers=MERGE)
        if answer.code == 404:
            answer = servers[0].request("POST", path, body)
        last.append(int(answer.json["metadata"]["resourceVersion"]))
    for recorder in recorders:
        recorder.goal = last[-1]
    for recorder in recorders:
        recorder.join(120)
        assert recorder.error is None, recorder.error
        assert not recorder.is_alive(), "a watcher has not been told of the last write"

    stretches = [stretch for recorder in recorders for stretch in recorder.stretches]
    for stretch in stretches:
        check_order(stretch)
        check_transitions(stretch)
    everything = [
        stretch
        for recorder, selector in zip(recorders, selectors * 4, strict=True)
        if not selector
        for stretch in recorder.stretches
    ]
    acknowledged = [revision for writer in writers for revision in writer.acknowledged]
    for stretch in everything:
        check_complete(stretch, acknowledged)
    check_alike(everything)
    for recorder, selector in zip(recorders, selectors * 4, strict=True):
        listed = servers[-1].request("GET", f"{path}?{selector}").json
        state = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in listed["items"]}
        assert recorder.stretches[-1].replayed() == state, selector
    assert sum(recorder.streams for recorder in recorders) > 2 * len(recorders), "streams have been resumed"
    assert any(event.type == "BOOKMARK" for stretch in stretches for event in stretch.events)
    _check_resuming(servers, path, max(everything, key=lambda stretch: len(stretch.events)))


def _check_resuming(servers: list[ApiServer], path: str, stretch: Any) -> None:
    """Resumable and bookmarkable: from the revision of any event or bookmark still held, exactly the rest follows."""
    held, expected = 0, [event for event in stretch.events if event.type != "BOOKMARK"]
    for number, event in enumerate(stretch.events[-200::9]):
        rest = [each for each in expected if each.revision > event.revision]
        if not rest:
            continue
        server = servers[number % len(servers)]
        connection = server.connect(timeout=60)
        connection.request("GET", f"{path}?watch=1&resourceVersion={event.revision}&timeoutSeconds=20")
        answer = connection.getresponse()
        told = [orjson.loads(answer.readline()) for _ in range(1)]
        if told[0]["type"] == "ERROR":
            assert told[0]["object"]["code"] == 410
            connection.close()
            continue
        told += [orjson.loads(answer.readline()) for _ in rest[1:]]
        connection.close()
        assert [int(each["object"]["metadata"]["resourceVersion"]) for each in told] == [each.revision for each in rest]
        held += 1
    assert held, "nothing was held any more"


def test_changes_of_one_revision_come_together(own_etcd: str, tmp_path: Path) -> None:
    """Atomic: etcd's transactions change several objects at one revision; nobody is told a part of it and resumed."""
    servers = [ApiServer(tmp_path / "data", own_etcd) for _ in range(2)]
    for server in servers:
        server.start()
    name = f"atomic-{next(_NUMBERS)}"
    assert servers[0].request("POST", NAMESPACE, {"metadata": {"name": name}}).code == 201
    path = f"{NAMESPACE}/{name}/configmaps"
    start = int(servers[0].request("GET", path).json["metadata"]["resourceVersion"])
    revisions = []
    for number in range(20):
        puts = "".join(f"put /registry/configmaps/{name}/{each} {_stored(name, each, number)}\n" for each in "abc")
        argv = ["etcdctl", f"--endpoints={own_etcd}", "txn", "--write-out=json"]
        done = subprocess.run(
            argv,
            input=f"\n{puts}\n\n",
            capture_output=True,
            text=True,
            check=True,
            env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/usr/local/bin"},
        )
        revisions.append(orjson.loads(done.stdout)["header"]["revision"])
    for server in servers:
        for position, after in enumerate([start, *revisions[:-1]]):
            told = _told(server, f"{path}?watch=1&resourceVersion={after}&timeoutSeconds=20", 3 * (20 - position))
            assert [event[1:] for event in told] == [
                (each, revision) for revision in revisions[position:] for each in "abc"
            ]
        for revision in revisions:
            listed = server.request("GET", f"{path}?resourceVersion={revision}&resourceVersionMatch=Exact").json
            assert len({item["data"]["n"] for item in listed["items"]}) == 1 and len(listed["items"]) == 3
    for server in servers:
        assert server.stop() == 0, server.log


def _stored(namespace: str, name: str, number: int) -> str:
    metadata = {"name": name, "namespace": namespace, "uid": f"u{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": str(number)}}
    # Quoted as etcdctl's interactive transactions read it.
    return orjson.dumps(orjson.dumps(document).decode()).decode()


def _told(server: ControlPlane, path: str, count: int) -> list[tuple[str, str, int]]:
    connection = server.connect(timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    events = [orjson.loads(answer.readline()) for _ in range(count)]
    connection.close()
    metas = [(event["type"], event["object"]["metadata"]) for event in events]
    return [(kind, meta["name"], int(meta["resourceVersion"])) for kind, meta in metas]
