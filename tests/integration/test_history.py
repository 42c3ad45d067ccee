"""Reading the past: exact revisions, times, an object's history, and where memory ends."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import ROOT, ControlPlane, wait_until

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


@pytest.fixture(params=["sqlite", "etcd"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ApiServer]:
    store = request.getfixturevalue("etcd") if request.param == "etcd" else "sqlite"
    made = ApiServer(tmp_path / "data", store, "--history-retention=0", "--etcd-compaction-interval=2s")
    made.start()
    yield made
    assert made.stop() == 0, made.log
    assert "Traceback" not in made.log, made.log


def create(plane: ControlPlane, path: str, name: str, **data: str) -> int:
    answer = plane.request("POST", path, {"metadata": {"name": name}, "data": data})
    assert answer.code == 201, answer.body
    return int(answer.json["metadata"]["resourceVersion"])


def change(plane: ControlPlane, path: str, name: str, **data: str) -> int:
    answer = plane.request("PATCH", f"{path}/{name}", {"data": data}, headers=MERGE)
    assert answer.code == 200, answer.body
    return int(answer.json["metadata"]["resourceVersion"])


def exactly(revision: int | str) -> str:
    return f"resourceVersion={quote(str(revision))}&resourceVersionMatch=Exact"


def test_every_read_can_be_of_an_exact_revision(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = create(control_plane, path, "a", x="1")
    second = change(control_plane, path, "a", x="2")
    assert control_plane.request("DELETE", f"{path}/a").code == 200
    # Others write as well: the newest revision may be well after the deletion's.
    gone = int(control_plane.request("GET", path).json["metadata"]["resourceVersion"])

    def get(name: str, revision: int, **headers: str) -> Any:
        return control_plane.request("GET", f"{path}/{name}?{exactly(revision)}", headers=headers)

    assert get("a", first).json["data"] == {"x": "1"}
    assert get("a", second).json["metadata"]["resourceVersion"] == str(second)
    assert get("a", gone).code == 404
    assert get("a", first - 1).code == 404
    assert get("a", 1 << 40).code == 504
    assert get("a", first, **TABLE).json["rows"][0]["cells"][:2] == ["a", 1]
    listed = control_plane.request("GET", f"{path}?{exactly(first)}&fieldSelector=metadata.name%3Da").json
    assert [item["data"] for item in listed["items"]] == [{"x": "1"}]
    assert listed["metadata"]["resourceVersion"] == str(first)
    assert control_plane.request("GET", f"{path}?{exactly(gone)}&fieldSelector=metadata.name%3Da").json["items"] == []


def test_a_time_stands_for_a_revision(control_plane: ControlPlane, namespace: str) -> None:
    path, numbers = f"/api/v1/namespaces/{namespace}/configmaps", itertools.count()

    def sampled() -> Any:
        """A second in which every server got the processor in time: the name of what changed after it, and that second.
        A sample that comes late stands for a later time, and then the second before is the newest that is known."""
        name = f"a{next(numbers)}"
        create(control_plane, path, name, x="before")
        moment = int(time.time()) + 1
        wait_until("the next second has begun", lambda: time.time() > moment + 1.2)
        change(control_plane, path, name, x="after")
        then = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        answers = [control_plane.request("GET", f"{path}/{name}?{exactly(then)}") for _ in range(2)]
        assert {answer.code for answer in answers} <= {200, 404, 410}
        return all(answer.code == 200 for answer in answers) and (name, then, answers[0].json["data"])

    name, then, data = wait_until("a second that was sampled", sampled)
    assert data == {"x": "before"}
    listed = control_plane.request("GET", f"{path}?{exactly(then)}&fieldSelector=metadata.name%3D{name}").json
    assert [item["data"]["x"] for item in listed["items"]] == ["before"]
    later = control_plane.request("GET", f"{path}/{name}?{exactly('2999-01-01T00:00:00Z')}")
    assert later.code == 400 and "has not come yet" in later.json["message"]
    earlier = control_plane.request("GET", f"{path}/{name}?{exactly('2001-01-01T00:00:00Z')}")
    assert earlier.code == 410 and earlier.json["reason"] == "Expired"
    refused = control_plane.request("GET", f"{path}/{name}?resourceVersion={then}")
    assert refused.code == 400 and "strconv.ParseUint" in refused.json["message"]


def test_the_history_of_an_object(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    revisions = [create(control_plane, path, "a", x="1"), change(control_plane, path, "a", x="2", y="3")]
    create(control_plane, path, "other")
    control_plane.request("DELETE", f"{path}/a")
    again = create(control_plane, path, "a", z="9")
    found = control_plane.request("GET", f"{path}/a?history=true").json
    assert [version["type"] for version in found["versions"]] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    *before, deleted, last = [int(version["resourceVersion"]) for version in found["versions"]]
    assert (before, last) == (revisions, again) and revisions[-1] < deleted < again
    assert [version["object"]["data"] for version in found["versions"]] == [
        {"x": "1"}, {"x": "2", "y": "3"}, {"x": "2", "y": "3"}, {"z": "9"},
    ]  # fmt: skip
    assert control_plane.request("GET", f"{path}/none?history=true").code == 404
    allowed = {"Impersonate-User": "nobody"}
    assert control_plane.request("GET", f"{path}/a?history=true", headers=allowed).code == 403

    def kubelab(*argv: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "provisioner", "history", *argv, "--kubeconfig", str(control_plane.kubeconfig)]
        environment = {**os.environ, "KUBELAB_HOME": str(tmp_path), "FORCE_COLOR": "1"}
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)

    done = kubelab("cm", "a", "-n", namespace)
    assert done.returncode == 0, done.stderr
    assert f"revision {revisions[0]}" in done.stdout and "deleted" in done.stdout
    assert "\x1b[31m-   x: '1'\x1b[0m" in done.stdout and "\x1b[32m+   x: '2'\x1b[0m" in done.stdout
    as_json = orjson.loads(kubelab("configmaps/a", "-n", namespace, "--json").stdout)
    # A time is known once its second is over.
    told = [{key: value for key, value in version.items() if key != "time"} for version in as_json["versions"]]
    assert told == [{key: value for key, value in version.items() if key != "time"} for version in found["versions"]]
    assert kubelab("nonsense", "a").returncode == 2
    assert kubelab("cm", "none", "-n", namespace).returncode == 1


def test_where_memory_ends(server: ApiServer) -> None:
    first = create(server, MAPS, "a", x="1")
    for number in range(4):
        create(server, MAPS, f"b{number}")
    page = server.request("GET", f"{MAPS}?limit=2").json
    token = page["metadata"]["continue"]
    last = change(server, MAPS, "a", x="2")

    def forgotten() -> bool:
        # Something must go on, as it does in every cluster, or there is nothing to forget.
        change(server, MAPS, "b0", now=str(time.time()))
        return server.request("GET", f"{MAPS}?{exactly(last - 1)}").code == 410

    wait_until("the past has been forgotten", forgotten)
    listed = server.request("GET", f"{MAPS}?{exactly(first)}").json
    assert (listed["reason"], listed["message"]) == (
        "Expired",
        "The resourceVersion for the provided list is too old.",
    )
    assert server.request("GET", f"{MAPS}/a?{exactly(first)}").code == 410
    gone = server.request("GET", f"{MAPS}?limit=2&continue={token}")
    assert gone.code == 410 and "or use the continue token in this response" in gone.json["message"]
    server.request("DELETE", f"{MAPS}/b3")
    remainder = server.request("GET", f"{MAPS}?continue={gone.json['metadata']['continue']}").json
    assert remainder["items"] and "b3" not in [item["metadata"]["name"] for item in remainder["items"]]
    seen = {item["metadata"]["name"] for item in [*page["items"], *remainder["items"]]}
    assert {"a", "b0", "b1", "b2"} <= seen
    history = server.request("GET", f"{MAPS}/a?history=true").json
    assert [version["type"] for version in history["versions"]] == ["HELD"]
    assert history["versions"][0]["object"]["data"]["x"] == "2" and int(history["oldest"]) >= last
    # The cache remembers what the store does not, until it is made anew.
    server.stop()
    server.start()
    watched = server.request("GET", f"{MAPS}?watch=1&resourceVersion={first}&timeoutSeconds=5")
    (event,) = [orjson.loads(line) for line in watched.body.splitlines()]
    assert watched.code == 200 and event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith(f"too old resource version: {first} (")


def test_a_list_goes_on_at_another_server(own_etcd: str, tmp_path: Path) -> None:
    servers = [ApiServer(tmp_path / "data", own_etcd) for _ in range(2)]
    for server in servers:
        server.start()
    assert servers[0].request("POST", "/api/v1/namespaces", {"metadata": {"name": "paged"}}).code == 201
    path = "/api/v1/namespaces/paged/configmaps"
    for number in range(6):
        create(servers[number % 2], path, f"c{number}")
        # What one server has stored, the other reads at once.
        assert servers[1 - number % 2].request("GET", f"{path}/c{number}").code == 200
        assert len(servers[1 - number % 2].request("GET", path).json["items"]) == number + 1
    page = servers[0].request("GET", f"{path}?limit=2&fieldSelector=metadata.name%21%3Dc5").json
    assert "remainingItemCount" not in page["metadata"], "what is selected from cannot be counted"
    page = servers[0].request("GET", f"{path}?limit=2").json
    assert page["metadata"]["remainingItemCount"] == 4
    found, first = [], page["metadata"]["resourceVersion"]
    create(servers[1], path, "c2-late")
    servers[1].request("DELETE", f"{path}/c5")
    for turn in (1, 0, 1):
        found += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == first
        if token := page["metadata"].get("continue"):
            page = servers[turn].request("GET", f"{path}?limit=2&continue={token}").json
    assert found == [f"c{number}" for number in range(6)]
    assert len(servers[1].request("GET", path).json["items"]) == 6  # the newest: from now on its cache has it
    newest = servers[1].request("GET", f"{path}?limit=2&resourceVersion=0").json
    assert len(newest["items"]) == 6 and "continue" not in newest["metadata"], "any version is answered whole"
    token = (
        page["metadata"].get("continue") or servers[0].request("GET", f"{path}?limit=2").json["metadata"]["continue"]
    )
    refused = servers[1].request("GET", f"{path}?limit=2&continue={token}&resourceVersion=7")
    assert refused.code == 400
    assert refused.json["message"] == "specifying resource version is not allowed when using continue"
    for server in servers:
        assert server.stop() == 0, server.log
