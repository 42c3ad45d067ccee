"""The agent and the executable that asks it: whatever becomes of the agent, a call is carried out once, or says so."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cni import agent as agents
from tests.conformance.cni.agents import AgentPlugins
from tests.conformance.cni.plugins import Answer
from tests.netns.cni.namespaces import Namespace, eventually

Config = dict[str, Any]
Make = Callable[[str], Namespace]
Leases = Callable[[], dict[str, str]]


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[AgentPlugins]:
    made = AgentPlugins(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * agents.CALLS_MAX) as threads:
        yield threads


@pytest.fixture
def attach(plugins: AgentPlugins, config: Config, node: Namespace, pod: Namespace) -> Callable[..., Answer]:
    """Call the bridge for the pod in the node."""

    def call(command: str = "ADD", container: str = "pod-1") -> Answer:
        return plugins.call(plugins.bridge, command, config, node=node, netns=str(pod.path), container=container)

    return call


def waits_for_a_lock(pid: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and line.split()[5] == str(pid) for line in lines)


def listen(path: Path, serve: Callable[[socket.socket], None]) -> socket.socket:
    """Something else at the agent's address."""
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    return listener


def read_request(connection: socket.socket) -> None:
    sizes = agents.SIZES.unpack(connection.recv(agents.SIZES.size, socket.MSG_WAITALL))
    connection.recv(sum(sizes), socket.MSG_WAITALL)


def test_agent_down(plugins: AgentPlugins, attach: Callable[..., Answer], node: Namespace, leases: Leases) -> None:
    plugins.agent(node).stop()
    assert not plugins.socket(node).exists()
    assert attach().code == 0
    assert plugins.scripts() == ["ADD none"]
    assert leases() == {"10.99.1.2": "pod-1\r\neth0"}


def test_a_killed_agents_socket_file_is_passed_by_and_taken_over(
    plugins: AgentPlugins, attach: Callable[..., Answer], node: Namespace
) -> None:
    plugins.agent(node).kill()
    assert plugins.socket(node).exists()
    assert attach().code == 0
    assert plugins.scripts() == ["ADD none"]
    plugins.restart(node)
    assert attach("DEL").code == 0
    assert plugins.scripts() == ["ADD none"]


def test_agent_killed_in_the_middle_of_an_add(
    plugins: AgentPlugins,
    attach: Callable[..., Answer],
    node: Namespace,
    config: Config,
    leases: Leases,
    pool: ThreadPoolExecutor,
) -> None:
    agent = plugins.agent(node)
    directory = Path(config["ipam"]["dataDir"], "kubelab")
    directory.mkdir(parents=True)
    # Somebody holds the leases, so that the agent's call stands still.
    holder = subprocess.Popen(["flock", str(directory / "lock"), "cat"], stdin=subprocess.PIPE)
    try:
        eventually("the lock", lambda: not _try_lock(directory / "lock"))
        answer = pool.submit(attach)
        eventually("the agent in the call", lambda: waits_for_a_lock(agent.process.pid))
        agent.kill()
    finally:
        holder.communicate()
    assert answer.result().code == 0
    assert plugins.scripts() == ["ADD gone"]
    assert len(leases()) == 1
    assert attach("DEL").code == 0
    assert leases() == {}


def _try_lock(path: Path) -> bool:
    return subprocess.run(["flock", "--nonblock", str(path), "true"]).returncode == 0


def test_what_a_dead_agent_had_done_is_undone_first(
    plugins: AgentPlugins, attach: Callable[..., Answer], node: Namespace, pod: Namespace, leases: Leases
) -> None:
    assert attach().code == 0
    plugins.agent(node).stop()

    def die(connection: socket.socket) -> None:
        connection.sendall(agents.GREETING)
        read_request(connection)

    listener = listen(plugins.socket(node), die)
    try:
        result = attach().result  # a plain second ADD would be refused
    finally:
        listener.close()
    assert plugins.scripts() == ["ADD gone"]
    assert list(leases()) == [ip["address"].partition("/")[0] for ip in result["ips"]]
    assert [link["ifname"] for link in pod.json("ip", "-j", "link")] == ["lo", "eth0"]


@pytest.mark.parametrize(
    ("said", "then", "doubt"),
    [
        (b"kubelab-cni 0\n", b"", "none"),
        (b"\0" * 100_000, b"", "none"),
        (b"kube", b"", "none"),
        (agents.GREETING, b"\xff" * 8, "gone"),
        (agents.GREETING, agents.SIZES.pack(0, 10) + b"{", "gone"),
        (agents.GREETING, b"x", "gone"),
    ],
    ids=["older", "garbage", "cut", "garbage answer", "answer cut", "length cut"],
)
def test_something_else_at_the_socket(
    plugins: AgentPlugins,
    attach: Callable[..., Answer],
    node: Namespace,
    leases: Leases,
    said: bytes,
    then: bytes,
    doubt: str,
) -> None:
    plugins.agent(node).stop()

    def speak(connection: socket.socket) -> None:
        try:
            connection.sendall(said)
            if then:
                read_request(connection)
                connection.sendall(then)
        except OSError:
            return

    listener = listen(plugins.socket(node), speak)
    try:
        assert attach().code == 0
    finally:
        listener.close()
    assert plugins.scripts() == [f"ADD {doubt}"]
    assert len(leases()) == 1


def test_an_agent_that_hangs_is_waited_for_briefly(
    plugins: AgentPlugins, attach: Callable[..., Answer], node: Namespace
) -> None:
    agent = plugins.agent(node)
    agent.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert attach().code == 0
        assert time.monotonic() - began < 60
    finally:
        agent.process.send_signal(signal.SIGCONT)
    assert plugins.scripts() == ["ADD none"]


def test_an_add_that_may_be_going_on_is_not_repeated(
    plugins: AgentPlugins, config: Config, node: Namespace, pod: Namespace, leases: Leases
) -> None:
    plugins.agent(node).stop()
    env = {
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "pod-1", "CNI_NETNS": str(pod.path), "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugins.directory), "KUBELAB_CNI_AGENT": "silent",
    }  # fmt: skip
    argv = [sys.executable, "-IS", str(plugins.directory / plugins.bridge)]
    done = subprocess.run(argv, input=json.dumps(config).encode(), env=env, capture_output=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == 11 and json.loads(done.stdout)["cniVersion"] == "1.0.0"
    assert leases() == {}


def test_a_caller_of_another_network_is_sent_away(
    plugins: AgentPlugins, config: Config, make: Make, node: Namespace, pod: Namespace
) -> None:
    elsewhere = make("elsewhere")
    plugins.agent(node)
    env = {
        "PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "x", "CNI_NETNS": str(pod.path),
        "CNI_IFNAME": "eth0", "CNI_PATH": str(plugins.directory), "KUBELAB_CNI_SOCKET": str(plugins.socket(node)),
    }  # fmt: skip
    elsewhere.run(str(plugins.directory / plugins.bridge), input=json.dumps(config), env=env)
    assert plugins.scripts() == ["ADD none"]
    assert [link["ifname"] for link in elsewhere.json("ip", "-j", "link", "show", "type", "bridge")] == ["cni0"]
    assert [link["ifname"] for link in node.json("ip", "-j", "link", "show", "type", "bridge")] == []
