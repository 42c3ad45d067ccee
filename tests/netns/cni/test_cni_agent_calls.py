"""The agent itself, in this process, with plugins of the tests' own: who may call, what is no call, calls at once."""

import os
import select
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cni import agent as agents
from nodeagent.cni.call import Call, Plugin
from tests.conformance.cni.agents import AgentPlugins
from tests.conformance.cni.plugins import Answer
from tests.netns.cni.namespaces import eventually


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * agents.CALLS_MAX) as threads:
        yield threads


def request(plugin: str = "kubelab-bridge", text: bytes = b"", **variables: str) -> bytes:
    words = (plugin, *(f"{key}={value}" for key, value in variables.items()))
    names = b"".join(word.encode() + b"\0" for word in words)
    return agents.SIZES.pack(len(names), len(text)) + names + text


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(120)
    connection.connect(str(path))
    return connection


def test_only_root_may_connect() -> None:
    reach = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with tempfile.TemporaryDirectory(prefix="knet-", dir="/run") as directory:
        Path(directory).chmod(0o755)
        path = Path(directory, "deep", "cni.sock")

        def reached_by_nobody() -> bool:
            argv = ["/usr/bin/python3", "-c", reach, str(path)]
            return subprocess.run(argv, user=65534, group=65534, extra_groups=[], capture_output=True).returncode == 0

        with agents.Agent(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert [each.name for each in path.parent.iterdir()] == ["cni.sock"]
            assert not reached_by_nobody()
            path.chmod(0o666)
            assert reached_by_nobody()  # it was the mode, and nothing else
        assert not path.exists()


def test_a_second_agent_takes_over_and_the_first_leaves_it_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "cni.sock"
    first, second = agents.Agent(path).start(), agents.Agent(path).start()
    first.stop()
    with connect(path) as connection:
        assert connection.recv(100) == agents.GREETING
    second.stop()
    assert not path.exists()


@pytest.mark.parametrize(
    "sent",
    [
        agents.SIZES.pack(1 << 30, 0),
        agents.SIZES.pack(0, (1 << 20) + 1),
        agents.SIZES.pack(0, 0),
        request("../../bin/sh"),
        request(CNI_COMMAND="VERSION")[:-1],
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["many names", "much text", "nothing", "no plugin", "cut", "another protocol"],
)
def test_what_is_no_call_is_not_answered_and_harms_nobody(tmp_path: Path, sent: bytes) -> None:
    with agents.Agent(tmp_path / "cni.sock"):
        for _ in range(2 * agents.CALLS_MAX):
            with connect(tmp_path / "cni.sock") as connection:
                assert connection.recv(len(agents.GREETING), socket.MSG_WAITALL) == agents.GREETING
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                try:
                    assert read_all(connection) == b""
                except ConnectionResetError:
                    continue  # closed before everything was read
        with connect(tmp_path / "cni.sock") as connection:
            connection.sendall(request(CNI_COMMAND="VERSION"))
            assert b"supportedVersions" in read_all(connection)


class Scripted:
    """An agent in this process with a plugin of the test's own, and the executable to call it with."""

    def __init__(self, directory: Path, **commands: Callable[[Call], Any]) -> None:
        plugins = AgentPlugins(directory)
        self.path, self.scripts = directory / "scripted.sock", plugins.scripts
        self.agent = agents.Agent(self.path, {"kubelab-bridge": Plugin("scripted", **commands)})
        self._executable = plugins.directory / "kubelab-bridge"

    def start(self, command: str, container: str = "a", **more: str) -> subprocess.Popen[bytes]:
        env = {
            "CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_PATH": "/",
            "CNI_NETNS": "/none", "KUBELAB_CNI_SOCKET": str(self.path), **more,
        }  # fmt: skip
        process = subprocess.Popen([self._executable], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(b'{"cniVersion": "1.0.0", "name": "n"}')
        process.stdin.close()
        return process

    def call(self, command: str, container: str = "a", **more: str) -> Answer:
        process = self.start(command, container, **more)
        assert process.stdout is not None
        out = process.stdout.read().decode()
        return Answer(process.wait(timeout=120), out)


def test_a_call_that_crashes_is_refused_and_the_next_is_served(tmp_path: Path) -> None:
    def crash(call: Call) -> None:
        raise ZeroDivisionError("oops")

    scripted = Scripted(tmp_path, ADD=crash)
    with scripted.agent:
        for _ in range(2 * agents.CALLS_MAX):
            error = scripted.call("ADD").error
            assert (error["code"], error["cniVersion"]) == (999, "1.0.0") and "oops" in error["msg"]
        assert scripted.call("DEL").code == 0
    assert scripted.scripts() == []


def test_calls_share_nothing(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    os.environ["CNI_ARGS"] = "LEAK=agent"
    together = threading.Barrier(agents.CALLS_MAX)

    def tell(call: Call) -> dict[str, Any]:
        together.wait(120)
        return {"dns": {"domain": f"{call.container} {call.args}"}}

    scripted = Scripted(tmp_path, ADD=tell)
    try:
        with scripted.agent:
            futures: list[Future[Answer]] = []
            for number in range(agents.CALLS_MAX):
                more = {"CNI_ARGS": f"N={number}"} if number % 2 else {}
                futures.append(pool.submit(scripted.call, "ADD", f"pod-{number}", **more))
            said = [future.result().result["dns"]["domain"] for future in futures]
    finally:
        del os.environ["CNI_ARGS"]
    wanted = [f"pod-{n} { ({'N': str(n)} if n % 2 else {}) }" for n in range(agents.CALLS_MAX)]
    assert said == wanted
    assert scripted.scripts() == []


def test_calls_at_once_are_bounded(tmp_path: Path) -> None:
    path, proceed, begun = tmp_path / "cni.sock", threading.Event(), threading.Semaphore(0)

    def wait(call: Call) -> None:
        begun.release()
        assert proceed.wait(120)

    def ask(number: int) -> socket.socket:
        connection = connect(path)
        names = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": f"c{number}", "CNI_IFNAME": "eth0", "CNI_PATH": "/"}
        connection.sendall(request(text=b'{"cniVersion": "1.0.0", "name": "n"}', **names))
        return connection

    with agents.Agent(path, {"kubelab-bridge": Plugin("waiting", DEL=wait)}):
        busy = [ask(number) for number in range(agents.CALLS_MAX)]
        assert all(begun.acquire(timeout=120) for _ in busy)
        one_more = connect(path)
        assert select.select([one_more], [], [], 0.3)[0] == []
        proceed.set()
        assert one_more.recv(len(agents.GREETING), socket.MSG_WAITALL) == agents.GREETING
        assert [read_all(each) for each in busy] == [agents.GREETING + agents.SIZES.pack(0, 0)] * len(busy)


def test_a_del_waits_for_the_add_that_its_runtime_gave_up(tmp_path: Path) -> None:
    order, begun, proceed = list[str](), threading.Event(), threading.Event()

    def add(call: Call) -> None:
        begun.set()
        assert proceed.wait(120)
        order.append("ADD")

    scripted = Scripted(tmp_path, ADD=add, DEL=lambda call: order.append("DEL"))
    with scripted.agent:
        caller = scripted.start("ADD")
        assert begun.wait(120)
        caller.kill()
        caller.wait()
        with connect(scripted.path) as deleting:
            assert deleting.recv(len(agents.GREETING), socket.MSG_WAITALL) == agents.GREETING
            names = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "a", "CNI_IFNAME": "eth0", "CNI_PATH": "/"}
            deleting.sendall(request(text=b'{"cniVersion": "1.0.0", "name": "n"}', **names))
            assert select.select([deleting], [], [], 0.3)[0] == []
            assert scripted.call("DEL", "b").code == 0  # another container's does not wait
            proceed.set()
            assert read_all(deleting) == agents.SIZES.pack(0, 0)
    assert order == ["DEL", "ADD", "DEL"]


def test_stopping_waits_for_the_calls_under_way(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    begun, proceed = threading.Event(), threading.Event()

    def add(call: Call) -> None:
        begun.set()
        assert proceed.wait(120)

    scripted = Scripted(tmp_path, ADD=add)
    scripted.agent.start()
    answer = pool.submit(scripted.call, "ADD")
    assert begun.wait(120)
    stopped = pool.submit(scripted.agent.stop)
    eventually("no further calls", lambda: not scripted.path.exists())
    assert not stopped.done()
    proceed.set()
    assert answer.result().code == 0
    stopped.result(timeout=120)
    assert scripted.scripts() == []
