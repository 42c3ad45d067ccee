"""etcd comes late, goes away in the middle, and comes back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.ports import free_port
from tests.integration.process import wait_until

MAPS = "/api/v1/namespaces/default/configmaps"


class Etcd:
    """An etcd that comes and goes on the same data."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port, self._peer = directory, free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        peer = f"http://127.0.0.1:{self._peer}"
        argv = ["etcd", "--data-dir", str(self.directory), "--listen-client-urls", self.url]
        argv += ["--advertise-client-urls", self.url, "--listen-peer-urls", peer]
        argv += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        argv += more
        with (self.directory.parent / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_until("etcd is healthy", self._healthy)

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return b"true" in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(60)
            self._process = None

    def freeze(self) -> None:
        """It holds its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Etcd]:
    made = Etcd(tmp_path / "etcd")
    yield made
    made.end()


def test_a_server_waits_for_its_store(own_etcd: Etcd, tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.launch()
    wait_until("it says that it waits", lambda: "opening the store: the store does not answer yet" in server.log)
    own_etcd.start()
    wait_until("it is ready", server._ready)
    assert server.stop() == 0 and "Traceback" not in server.log


def test_a_server_that_waits_can_be_stopped(own_etcd: Etcd, tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.launch()
    wait_until("it says that it waits", lambda: "opening the store: the store does not answer yet" in server.log)
    assert server.stop() == 0 and "Traceback" not in server.log


def test_a_store_that_goes_and_comes(own_etcd: Etcd, tmp_path: Path) -> None:
    own_etcd.start()
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.start()
    made = server.request("POST", MAPS, {"metadata": {"name": "a"}}).json
    version = made["metadata"]["resourceVersion"]
    server.request("GET", MAPS)
    watching = server.connect(timeout=60)
    watching.request("GET", f"{MAPS}?watch=1&resourceVersion={version}")
    stream = watching.getresponse()
    # Its past is read from etcd: that is over once it tells of the present.
    assert server.request("POST", MAPS, {"metadata": {"name": "w"}}).code == 201
    assert orjson.loads(stream.readline())["object"]["metadata"]["name"] == "w"
    own_etcd.end()

    listed = server.request("GET", MAPS)
    assert (listed.code, listed.json["reason"]) == (503, "ServiceUnavailable")
    assert listed.headers["retry-after"] == "1"
    assert server.request("POST", MAPS, {"metadata": {"name": "b"}}).code in (503, 504)
    assert server.request("GET", f"{MAPS}/a?resourceVersion=0").code == 200, "any version is good enough: the cache's"
    for health in ("/readyz", "/livez", "/healthz"):
        answer = server.request("GET", health)
        assert answer.code == 500 and b"[-]etcd failed: reason withheld" in answer.body
    own_etcd.start()
    wait_until("it writes again", lambda: server.request("POST", MAPS, {"metadata": {"name": "c"}}).code == 201)
    names = {item["metadata"]["name"] for item in server.request("GET", MAPS).json["items"]} - {"kube-root-ca.crt"}
    assert {"a", "c", "w"} <= names <= {"a", "b", "c", "w"}
    told = {}
    while "c" not in told:
        event = orjson.loads(stream.readline())
        told[event["object"]["metadata"]["name"]] = event["type"]
    assert told["c"] == "ADDED", "the watch has gone on"
    watching.close()
    assert 1 <= server.log.count("; reconnecting") <= 3, "each reason is told once"
    assert server.log.count("the watch on etcd goes on") == 1
    assert server.stop() == 0 and "Traceback" not in server.log, server.log


def test_a_write_without_an_answer_says_that_it_does_not_know(own_etcd: Etcd, tmp_path: Path) -> None:
    own_etcd.start()
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.start()
    assert server.request("POST", MAPS, {"metadata": {"name": "a"}}).code == 201
    own_etcd.freeze()
    answer = server.request("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"x": "1"}}, timeout=60)
    assert answer.code in (503, 504), answer.body  # the read before the write may be what gets no answer
    created = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}, timeout=60)
    assert (created.code, created.json["reason"]) == (504, "Timeout"), created.body
    ready = server.request("GET", "/readyz/etcd", timeout=60)
    assert (ready.code, ready.body) == (
        500,
        b"internal server error: error getting data from etcd: context deadline exceeded\n",
    )
    own_etcd.thaw()

    def settled() -> bool:
        # What was not known to have happened may have happened: asking again tells.
        again = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
        return again.code in (201, 409)

    wait_until("it is known", settled)
    assert server.stop() == 0 and "Traceback" not in server.log, server.log


def test_a_server_whose_store_is_away_ends_in_order(own_etcd: Etcd, tmp_path: Path) -> None:
    own_etcd.start()
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.start()
    own_etcd.end()
    assert server.stop() == 0 and "Traceback" not in server.log, server.log
    assert "the kubernetes service still names this server: " in server.log


def test_a_full_store_says_so(own_etcd: Etcd, tmp_path: Path) -> None:
    own_etcd.start("--quota-backend-bytes=8000000")
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.start()
    much = {"a": "x" * 1_000_000}
    # etcd holds its size against the quota as of its last commit (every 100 ms): a fast client gets some more in.
    for n in range(100):
        made = server.request("POST", MAPS, {"metadata": {"name": f"m{n}"}, "data": much})
        if made.code != 201:
            break
    assert n > 0 and made.code == 500
    assert made.json.get("reason", "") == "" and "retry-after" not in made.headers
    assert made.json["message"] == "etcdserver: mvcc: database space exceeded"
    assert server.request("DELETE", f"{MAPS}/m0").code == 200, "room can be made"
    assert server.stop() == 0 and "Traceback" not in server.log, server.log


def test_what_is_too_large_for_the_store_is_refused_in_its_words(own_etcd: Etcd, tmp_path: Path) -> None:
    own_etcd.start()
    server = ApiServer(tmp_path / "data", own_etcd.url)
    server.start()
    rule = {"apiGroups": ["x" * 2_000_000], "resources": ["y"], "verbs": ["get"]}
    role = {"metadata": {"name": "large"}, "rules": [rule]}
    made = server.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    assert (made.code, made.json["message"]) == (500, "etcdserver: request is too large")
    assert server.stop() == 0 and "Traceback" not in server.log, server.log
