"""The server's pure parts: who may what, which container, which lines."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer, unused_port

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.certs import Authority, KeyPair
from apimachinery.kit.clock import Clock, ManualClock, SystemClock
from apimachinery.kit.debug import Health, well
from apimachinery.kit.tls import unverified_client_context
from apimachinery.kit.trace import Trace
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import error_for
from nodeagent.kubelet.config import Config
from nodeagent.kubelet.server.app import KubeletServer
from nodeagent.kubelet.server.auth import Gate, Undecided, User, attributes, user_of_certificate
from nodeagent.kubelet.server.certificate import Serving
from nodeagent.kubelet.server.logs import BadOption, LogOptions, parse_options, read_log, runs, send_log, tail_offset
from nodeagent.kubelet.server.lookup import (
    NotThere,
    attached_container,
    container_for_logs,
    forwarded_ports,
    running_container,
)
from nodeagent.kubelet.server.system_logs import listing, resolve
from nodeagent.kubelet.sources.registry import PodRegistry

NOW = datetime(2025, 1, 1, 0, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresource"),
    [
        ("GET", "/pods", "get", "proxy"),
        ("POST", "/exec/n/p/c", "create", "proxy"),
        ("GET", "/stats/summary", "get", "stats"),
        ("GET", "/metrics/cadvisor", "get", "metrics"),
        ("GET", "/logs/x", "get", "log"),
        ("GET", "/configz", "get", "proxy"),
    ],
)
def test_attributes(method: str, path: str, verb: str, subresource: str) -> None:
    assert attributes(method, path) == (verb, subresource)


def test_a_certificate_names_user_and_groups() -> None:
    certificate = {"subject": ((("organizationName", "g1"),), (("organizationName", "g2"),), (("commonName", "me"),))}
    assert user_of_certificate(certificate) == User("me", ("g1", "g2", "system:authenticated"))
    assert user_of_certificate({}) is None and user_of_certificate(None) is None


async def test_nothing_is_open_without_credentials() -> None:
    gate = Gate(None, "n", ManualClock(), anonymous=False, webhook=True, always_allow=False, ttls=(1, 1, 1))
    assert await gate.authenticate(None, "") is None
    assert await gate.authenticate(None, "Bearer token") is None
    assert not await gate.authorize(User("bob"), "get", "proxy")
    assert await gate.authorize(User("admin", ("system:masters",)), "create", "proxy")


POD: dict[str, Any] = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c"}]}}


def status(
    state: dict[str, Any], last: dict[str, Any] | None = None, container_id: str = "containerd://1"
) -> dict[str, Any]:
    entry = {"name": "c", "state": state, "lastState": last or {}, "containerID": container_id}
    return {"containerStatuses": [entry]}


ENDED = {"terminated": {"containerID": "containerd://0", "exitCode": 1}}


def test_which_container_a_log_request_means() -> None:
    assert container_for_logs(POD, status({"running": {}}, ENDED), "c", previous=False) == "1"
    assert container_for_logs(POD, status({"running": {}}, ENDED), "c", previous=True) == "0"
    crashed = status({"waiting": {"reason": "CrashLoopBackOff"}}, ENDED)
    assert container_for_logs(POD, crashed, "c", previous=False) == "0"
    unmade = status({"terminated": {"exitCode": 128}}, ENDED, container_id="containerd://9")
    assert container_for_logs(POD, unmade, "c", previous=False) == "0"
    assert running_container(POD, status({"running": {}}), "c") == "1"


@pytest.mark.parametrize(
    ("name", "state", "previous", "code", "text"),
    [
        ("z", {"running": {}}, False, 404, 'container "z" not found in pod "p"\n'),
        ("c", {"running": {}}, True, 400, 'previous terminated container "c" in pod "p" not found'),
        (
            "c",
            {"waiting": {"reason": "ContainerCreating"}},
            False,
            400,
            'container "c" in pod "p" is waiting to start: ContainerCreating',
        ),
        (
            "c",
            {"waiting": {"reason": "ImagePullBackOff"}},
            False,
            400,
            'container "c" in pod "p" is waiting to start: trying and failing to pull image',
        ),
        # As of a container that is gone (ContainerStatusUnknown), or that was never made.
        ("c", {"terminated": {"exitCode": 137}}, False, 400, 'container "c" in pod "p" is terminated'),
        ("c", {}, False, 400, 'container "c" in pod "p" is waiting to start - no logs yet'),
    ],
)
def test_what_is_not_there(name: str, state: dict[str, Any], previous: bool, code: int, text: str) -> None:
    with pytest.raises(NotThere) as refused:
        container_for_logs(POD, status(state), name, previous=previous)
    assert (refused.value.status, str(refused.value)) == (code, text)


def test_ports_of_a_websocket_client() -> None:
    assert forwarded_ports(["80", "81,82"]) == [80, 81, 82] and forwarded_ports([]) == []
    for wrong in ("", "x", "0", "65536", "80,"):
        with pytest.raises(NotThere):
            forwarded_ports([wrong])


def test_only_a_running_container_is_executed_in() -> None:
    for name, state in (("c", {"terminated": {"exitCode": 0}}), ("z", {"running": {}})):
        with pytest.raises(NotThere) as refused:
            running_container(POD, status(state), name)
        assert (refused.value.status, str(refused.value)) == (500, f'container not found ("{name}")')


def test_whether_a_container_has_a_terminal_is_its_own_say() -> None:
    for spec, tty in (({"name": "c"}, False), ({"name": "c", "tty": True}, True)):
        pod = {**POD, "spec": {"containers": [spec]}}
        assert attached_container(pod, status({"running": {}}), "c") == ("1", tty)
    with pytest.raises(NotThere) as refused:
        attached_container(POD, status({"waiting": {}}), "c")
    assert (refused.value.status, str(refused.value)) == (500, "container c not found in pod p_n")


LINES = b"".join(b"2025-01-01T00:00:0%d.000000000Z stdout F line %d\n" % (n, n) for n in range(10))


async def read(path: Path, **options: Any) -> bytes:
    async def ended() -> bool:
        return False

    return b"".join([piece async for piece in read_log(path, LogOptions(**options), ended, ManualClock())])


async def test_reading(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(LINES)
    assert await read(log, tail=2) == b"line 8\nline 9\n"
    assert await read(log, tail=0) == b""
    assert await read(log, tail=99) == b"".join(b"line %d\n" % n for n in range(10))
    assert await read(log, limit=9) == b"line 0\nli"
    assert await read(log, since=datetime(2025, 1, 1, 0, 0, 9, tzinfo=UTC)) == b"line 9\n"
    assert (await read(log, tail=1, timestamps=True)).startswith(b"2025-01-01T00:00:09.000000000Z line 9")
    # A runtime writes its own zone's time.
    log.write_bytes(b"2025-01-01T02:00:08.5+02:00 stdout F before\n2024-12-31T19:00:09.5-05:00 stdout F after\n")
    assert await read(log, since=datetime(2025, 1, 1, 0, 0, 9, tzinfo=UTC)) == b"after\n"
    log.write_bytes(b"2025-01-01T00:00:00Z stderr P par\n2025-01-01T00:00:00Z stderr F tial\nnonsense\n")
    assert await read(log) == b"partial\n"
    # The parts of a long line show one time.
    assert await read(log, timestamps=True) == b"2025-01-01T00:00:00.000000000Z partial\n"
    log.write_bytes(LINES + b"2025-01-01T00:00:10Z stdout F unfini")
    assert await read(log, tail=1) == b"unfini"


async def test_the_last_lines_are_no_more_for_those_that_follow(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    line = b"2025-01-01T00:00:00Z stdout F " + b"x" * 70 + b"\n"
    log.write_bytes(line * 2000)

    async def runs() -> bool:
        return True

    found = b""
    async for piece in read_log(log, LogOptions(tail=1500), runs, ManualClock()):
        found += piece
        if log.stat().st_size < 1 << 20:
            with log.open("ab") as file:
                file.write(line * 1000)
    assert found.count(b"\n") == 1500


class Runtime:
    """A runtime that knows one container's log, or fails."""

    def __init__(self, path: str = "", error: str = "") -> None:
        self.path, self.error = path, error

    async def container_status(self, _: str) -> cri.ContainerStatus:
        if self.error:
            raise error_for("ContainerStatus", self.error, "why")
        return cri.ContainerStatus(log_path=self.path, state=cri.CONTAINER_RUNNING)


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        (Runtime(error="NOT_FOUND"), "unable to retrieve container logs for containerd://1"),
        (Runtime(error="UNAVAILABLE"), "unable to retrieve container logs for containerd://1"),
        (
            Runtime(path="/proc/1/nothing/there/0.log"),
            'failed to try resolving symlinks in path "/proc/1/nothing/there/0.log": '
            "lstat /proc/1/nothing: no such file or directory",
        ),
    ],
)
async def test_a_log_that_is_lost_is_told_in_its_place(runtime: Any, said: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await send_log(request, runtime, "1", LogOptions(), ManualClock())

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client, client.get("/") as found:
        assert (found.status, await found.text()) == (200, said)


@pytest.mark.parametrize(("error", "goes_on"), [("", True), ("UNAVAILABLE", True), ("NOT_FOUND", False)])
async def test_following_outlives_a_restart_of_the_runtime(error: str, goes_on: bool) -> None:
    runtime: Any = Runtime(error=error)
    assert await runs(runtime, "1") is goes_on


def test_tail_over_blocks(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"".join(b"%d " % n + b"x" * 1000 + b"\n" for n in range(300)))
    with path.open("rb") as file:
        file.seek(tail_offset(file, 200))
        assert file.read(4) == b"100 "


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "x"},
        {"tailLines": "-1"},
        {"limitBytes": "0"},
        {"sinceTime": "now"},
        {"sinceSeconds": "1", "sinceTime": "2025-01-01T00:00:00Z"},
    ],
)
def test_bad_options(query: dict[str, str]) -> None:
    with pytest.raises(BadOption):
        parse_options(query, NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("no")
    root = tmp_path / "log"
    (root / "pods").mkdir(parents=True)
    (root / "containers").mkdir()
    (root / "syslog").write_text("line\n")
    (root / "pods" / "0.log").write_text("x")
    (root / "containers" / "c.log").symlink_to(root / "pods" / "0.log")
    (root / "out").symlink_to(tmp_path)
    (root / "shadow").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to(root / "loop")
    return root


@pytest.mark.parametrize("asked", ["", "syslog", "pods/0.log", "containers/c.log", "containers/", "/syslog"])
def test_logs_of_the_system(folder: Path, asked: str) -> None:
    assert resolve(folder, asked) is not None


@pytest.mark.parametrize(
    "asked",
    ["../secret", "pods/../../secret", "out/secret", "shadow", "loop", "a\0b", "..", "nothere", "pods/../syslog"],
)
def test_tricks_with_paths_of_logs(folder: Path, asked: str) -> None:
    assert resolve(folder, asked) is None


def test_a_listing_is_escaped(folder: Path) -> None:
    (folder / 'a"<b>&').write_text("")
    text = listing(folder)
    assert '<a href="a%22%3Cb%3E%26">a&quot;&lt;b&gt;&amp;</a>\n' in text and '<a href="pods/">pods/</a>\n' in text


async def stuck() -> None:
    """A sync loop that has stopped."""
    raise RuntimeError("pleg was last seen active 4m0s ago")


def server(
    gate: Gate,
    folder: Path,
    debugging: bool = True,
    *,
    registry: PodRegistry | None = None,
    runtime: Any = None,
    ports: tuple[int, int] = (0, 0),
    clock: Clock | None = None,
) -> KubeletServer:
    """A server of a node without pods, unless there are some in `registry`; `main` runs in all of them. Without TLS."""

    def tls() -> Any:
        return None

    measured: Any = type("Nothing", (), {"add_routes": lambda *_: None})()

    def status(_: Any) -> dict[str, Any]:
        return {"containerStatuses": [{"name": "main", "containerID": "containerd://1", "state": {"running": {}}}]}

    return KubeletServer(
        address="127.0.0.1", port=ports[0], tls=tls, gate=gate, registry=registry or PodRegistry(), status=status,
        runtime=runtime, measured=measured, configuration={}, checkpoints=folder, system_logs=None, debugging=debugging,
        health=Health({"ping": well, "syncloop": stuck}),
        clock=clock or ManualClock(), trace=Trace("kubelet"), read_only_port=ports[1],
    )  # fmt: skip


class Reviewer:
    """An API that reviews: the token "good" is bob's, and bob may get statistics. asked: all reviews."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.away = False

    async def create(self, _: Any, review: dict[str, Any]) -> dict[str, Any]:
        if self.away:
            raise ApiUnreachable("gone")
        self.asked.append(review)
        if review["kind"] == "TokenReview":
            user = {"username": "bob", "groups": ["g"], "uid": "7", "extra": {"k": ["v"]}}
            good = review["spec"]["token"] == "good"
            return {"status": {"authenticated": True, "user": user} if good else {}}
        return {"status": {"allowed": review["spec"]["resourceAttributes"]["subresource"] == "stats"}}


async def test_answers_are_kept_for_a_while() -> None:
    api: Any = Reviewer()
    clock = ManualClock()
    gate = Gate(api, "n1", clock, anonymous=False, webhook=True, always_allow=False, ttls=(120, 300, 30))
    bob = User("bob", ("g",), "7", (("k", ("v",)),))
    for _ in range(3):
        assert await gate.authenticate(None, "Bearer good") == bob
        assert await gate.authenticate(None, "bearer bad") is None
        assert await gate.authorize(bob, "get", "stats") and not await gate.authorize(bob, "get", "proxy")
    assert [review["kind"] for review in api.asked] == ["TokenReview"] * 2 + ["SubjectAccessReview"] * 2
    assert api.asked[2]["spec"] == {
        "user": "bob",
        "groups": ["g"],
        "uid": "7",
        "extra": {"k": ["v"]},
        "resourceAttributes": {
            "verb": "get",
            "group": "",
            "version": "v1",
            "resource": "nodes",
            "subresource": "stats",
            "name": "n1",
        },
    }
    await clock.advance(31)
    assert not await gate.authorize(bob, "get", "proxy") and await gate.authorize(bob, "get", "stats")
    assert len(api.asked) == 5  # a refusal is kept for half a minute, leave for five
    await clock.advance(100)
    assert await gate.authenticate(None, "Bearer good") == bob and len(api.asked) == 6
    api.away = True
    assert await gate.authorize(bob, "get", "stats")  # still remembered
    with pytest.raises(Undecided) as undecided:
        await gate.authorize(bob, "get", "log")
    assert str(undecided.value) == "Authorization error (user=bob, verb=get, resource=nodes, subresource=log)"
    await clock.advance(300)
    assert await gate.authenticate(None, "Bearer good") is None
    with pytest.raises(Undecided):
        await gate.authorize(bob, "get", "stats")
    api.away = False
    assert await gate.authorize(bob, "get", "stats")  # silence was not remembered


async def test_a_flood_of_tokens_does_not_fill_the_memory() -> None:
    api: Any = Reviewer()
    gate = Gate(api, "n", ManualClock(), anonymous=False, webhook=True, always_allow=False, ttls=(120, 300, 30))
    for number in range(1500):
        await gate.authenticate(None, f"Bearer {number}")
    assert len(gate._tokens) == 1000


@pytest.mark.parametrize(
    ("away", "answer"),
    [
        (False, (403, "Forbidden (user=bob, verb=get, resource=nodes, subresource(s)=[proxy])\n")),
        (True, (500, "Authorization error (user=bob, verb=get, resource=nodes, subresource=proxy)")),
    ],
)
async def test_a_refusal_is_not_a_silence(tmp_path: Path, away: bool, answer: tuple[int, str]) -> None:
    api: Any = Reviewer()
    gate = Gate(api, "n", ManualClock(), anonymous=False, webhook=True, always_allow=False, ttls=(1, 1, 1))
    assert await gate.authenticate(None, "Bearer good") is not None
    api.away = away
    headers = {"Authorization": "Bearer good"}
    async with TestClient(TestServer(server(gate, tmp_path).application()), headers=headers) as client:
        found = await client.get("/pods")
        assert (found.status, await found.text()) == answer


@pytest.mark.parametrize(
    ("path", "open_answer"),
    [
        ("/exec/n/p/c", 400),
        ("/attach/n/p/c", 400),
        ("/portForward/n/p", 404),
        ("/containerLogs/n/p/c", 404),
        ("/logs/", 404),
        ("/healthz/ping", 200),
        ("/pods", 200),
    ],
)
async def test_endpoints_into_containers_can_be_closed(tmp_path: Path, path: str, open_answer: int) -> None:
    gate = Gate(None, "n", ManualClock(), anonymous=True, webhook=False, always_allow=True, ttls=(1, 1, 1))

    async def ask(debugging: bool) -> tuple[int, str]:
        async with (
            TestClient(TestServer(server(gate, tmp_path, debugging).application())) as client,
            client.get(path) as answer,
        ):
            return answer.status, await answer.text()

    assert (await ask(True))[0] == open_answer
    expected = (405, "Debug endpoints are disabled.\n") if open_answer != 200 else await ask(True)
    assert await ask(False) == expected


@pytest.mark.parametrize("place", ["n/p/main", "n/p/u/main"])
async def test_a_command_that_fails_is_no_answer(tmp_path: Path, place: str) -> None:
    class Commands:
        async def exec_sync(self, _: str, command: list[str], timeout: float | None) -> cri.ExecSyncResponse:
            assert timeout is None
            failed = command == ["exit", "3"]
            return cri.ExecSyncResponse(stdout=b"out\n", stderr=b"no\n", exit_code=3 if failed else 0)

    registry = PodRegistry()
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "main"}]}}
    registry.api_put(pod)
    gate = Gate(None, "n", ManualClock(), anonymous=True, webhook=False, always_allow=True, ttls=(1, 1, 1))
    application = server(gate, tmp_path, registry=registry, runtime=Commands()).application()
    async with TestClient(TestServer(application)) as client:
        good = await client.post(f"/run/{place}", params={"cmd": "true"})
        assert (good.status, await good.text()) == (200, "out\nno\n")
        bad = await client.post(f"/run/{place}", params={"cmd": "exit 3"})
        assert (bad.status, await bad.text()) == (500, "command 'exit 3' exited with 3: no\n")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/healthz", (500, "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n")),
        ("/healthz/ping", (200, "ok")),
        ("/healthz/syncloop", (500, "internal server error: pleg was last seen active 4m0s ago\n")),
    ],
)
async def test_the_server_is_as_well_as_the_sync_loop(tmp_path: Path, path: str, answer: tuple[int, str]) -> None:
    gate = Gate(None, "n", ManualClock(), anonymous=True, webhook=False, always_allow=True, ttls=(1, 1, 1))
    async with TestClient(TestServer(server(gate, tmp_path).application())) as client:
        found = await client.get(path)
        assert (found.status, await found.text()) == answer


async def test_the_read_only_port_tells_everybody_and_does_nothing(tmp_path: Path) -> None:
    nobody: Any = None  # whom the gate would let in
    ports = unused_port(), unused_port()
    both = server(nobody, tmp_path, ports=ports)
    stop = asyncio.Event()
    serving = asyncio.create_task(both.run(stop))
    told = {"/pods": 200, "/configz": 404, "/exec/n/p/main": 405, "/checkpoint/n/p/main": 404}
    async with ClientSession(f"http://127.0.0.1:{ports[1]}") as client:
        while True:
            with contextlib.suppress(ClientConnectorError):
                async with client.get("/healthz"):
                    break
            await asyncio.sleep(0)
        for path, status in told.items():
            async with client.get(path) as answer:
                assert (path, answer.status) == (path, status)
                if status == 405:
                    assert await answer.text() == "Debug endpoints are disabled.\n"
        async with client.post("/checkpoint/n/p/main") as answer:
            assert answer.status == 404
    stop.set()
    await serving


async def told(place: str, clock: Clock, context: ssl.SSLContext, folder: Path, shown: KeyPair | None) -> int:
    """The status of an answer to who shows a certificate, from a server that anybody else may ask."""
    gate = Gate(None, "n", clock, anonymous=True, webhook=False, always_allow=True, ttls=(1, 1, 1))
    cert, key = folder / "shown.crt", folder / "shown.key"
    if shown is not None:
        cert.write_bytes(shown.cert_pem)
        key.write_bytes(shown.key_pem)
    mine = unverified_client_context(cert, key) if shown is not None else unverified_client_context()
    serving = TestServer(server(gate, folder, clock=clock).application(), scheme="https")
    await serving.start_server(ssl=context)
    async with TestClient(serving) as client:
        return (await client.get(place, ssl=mine)).status


async def test_a_certificate_that_does_not_hold_is_answered(tmp_path: Path) -> None:
    """As upstream, which does not end the handshake for it: who shows it is told, and is nobody."""
    users, strangers, clock = Authority.create("users"), Authority.create("strangers"), SystemClock()
    authority = tmp_path / "ca.crt"
    authority.write_bytes(users.pair.cert_pem)
    context = Serving(
        Config(client_ca_file=authority, cert_dir=tmp_path, node_name="n"), ("127.0.0.1",), clock
    ).context()
    ann, stranger = users.issue("ann", client=True), strangers.issue("ann", client=True)
    assert await told("/pods", clock, context, tmp_path, ann) == 200
    assert await told("/pods", clock, context, tmp_path, None) == 200
    assert await told("/pods", clock, context, tmp_path, stranger) == 401
    later = ManualClock(clock.now() + timedelta(days=3650))
    assert await told("/pods", later, context, tmp_path, ann) == 401
