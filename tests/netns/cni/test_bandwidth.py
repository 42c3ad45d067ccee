"""What a pod may receive and send in a second, by real transfers; ours and the reference's `bandwidth`."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace

Config = dict[str, Any]
RATE = 16_000_000  # bits a second
SIZE = 2_000_000  # bytes: a second's worth
LEAST = 0.7  # seconds: less the burst, and what waits in buffers
TO_POD, FROM_POD = "ingress", "egress"


def limits(*directions: str) -> Config:
    found: dict[str, int] = {}
    for direction in directions:
        found |= {f"{direction}Rate": RATE, f"{direction}Burst": 65536 * 8}
    return {"bandwidth": found}


def transfer(sender: Namespace, receiver: Namespace, address: str) -> float:
    """Seconds until all of SIZE bytes has arrived."""

    def listen() -> socket.socket:
        return socket.create_server((address, 9000))

    def connect() -> socket.socket:
        return socket.create_connection((address, 9000), timeout=60)

    with receiver.inside(listen) as listener, sender.inside(connect) as sending:
        receiving, _ = listener.accept()
        with receiving:
            receiving.settimeout(120)
            began = time.monotonic()
            thread = threading.Thread(target=sending.sendall, args=(bytes(SIZE),))
            thread.start()
            left = SIZE
            while left > 0:
                left -= len(receiving.recv(65536)) or left
            elapsed = time.monotonic() - began
            thread.join()
    return elapsed


@pytest.fixture(params=["in kubelab-bridge", "chained", "chained reference"])
def call(
    request: pytest.FixtureRequest, ours: Plugins, reference: Plugins, config: Config, node: Namespace, pod: Namespace
) -> Callable[[str, Config, Any], Any]:
    """call(command, runtimeConfig, prevResult): what the container runtime does for the pod."""
    by = reference if request.param == "chained reference" else ours
    # The reference's insists on making the ingress queue itself, which the check of addresses needs too.
    checked = by is ours

    def one(command: str, runtime: Config, previous: Any = None) -> Any:
        told = {**config, "type": "kubelab-bridge", "spoofCheck": checked}
        if previous is not None:
            told["prevResult"] = previous
        if request.param == "in kubelab-bridge":
            return ours.call(
                "kubelab-bridge", command, {**told, "runtimeConfig": runtime}, node=node, netns=str(pod.path)
            )
        if command != "CHECK":
            first = ours.call("kubelab-bridge", command, told, node=node, netns=str(pod.path))
            told["prevResult"] = first.result if command == "ADD" else previous
        shaping = {key: told[key] for key in ("cniVersion", "name", "prevResult") if told.get(key)}
        shaping |= {"type": "bandwidth", "runtimeConfig": runtime}
        return by.call("bandwidth", command, shaping, node=node, netns=str(pod.path))

    return one


@pytest.fixture
def plugins(ours: Plugins) -> Plugins:
    return ours


@pytest.mark.parametrize("direction", [TO_POD, FROM_POD])
def test_a_transfer_takes_as_long_as_the_rate_says(
    call: Callable[..., Any], node: Namespace, pod: Namespace, direction: str
) -> None:
    result = call("ADD", limits(direction)).result
    made = [link["ifname"] for link in node.json("ip", "-j", "link", "show", "type", "ifb")]
    assert made == ([] if direction == TO_POD else [result["interfaces"][-1]["name"]])
    ends = (node, pod, "10.99.1.2") if direction == TO_POD else (pod, node, "10.99.1.1")
    assert LEAST < transfer(*ends) < 60
    assert call("CHECK", limits(direction), result).code == 0
    assert call("DEL", limits(direction), result).code == 0
    assert node.json("ip", "-j", "link", "show", "type", "ifb") == []
    assert call("DEL", limits(direction), result).code == 0


def test_check_misses_a_limit(call: Callable[..., Any], node: Namespace) -> None:
    result = call("ADD", limits(TO_POD, FROM_POD)).result
    assert call("CHECK", limits(TO_POD, FROM_POD), result).code == 0
    node.run("ip", "link", "del", result["interfaces"][-1]["name"])
    assert call("CHECK", limits(TO_POD, FROM_POD), result).error["msg"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"ingressRate": 8}, "if rate is set, burst must also be set"),
        ({"egressBurst": 8}, "if burst is set, rate must also be set"),
        ({"ingressRate": 8, "ingressBurst": 1 << 35}, "burst cannot be more than 4GB"),
    ],
)
def test_refusals(call: Callable[..., Any], node: Namespace, entry: dict[str, int], words: str) -> None:
    assert words in call("ADD", {"bandwidth": entry}).error["msg"]
    assert node.json("ip", "-j", "link", "show", "type", "ifb") == []


def test_the_burst_that_containerd_gives_everybody_does_not_undo_the_rate(
    ours: Plugins, config: Config, node: Namespace, pod: Namespace
) -> None:
    limits = {"IngressRate": RATE, "IngressBurst": 2**32 - 1, "EgressRate": 0, "EgressBurst": 0}  # as it spells them
    told = {**config, "runtimeConfig": {"bandwidth": limits}}
    assert ours.call("kubelab-bridge", "ADD", told, node=node, netns=str(pod.path)).code == 0
    assert LEAST < transfer(node, pod, "10.99.1.2") < 60


def test_gc_removes_what_a_lost_pod_left(ours: Plugins, config: Config, node: Namespace, pod: Namespace) -> None:
    told = {**config, "cniVersion": "1.1.0", "runtimeConfig": limits(FROM_POD)}
    assert ours.call("kubelab-bridge", "ADD", told, node=node, netns=str(pod.path)).code == 0

    def collect(container: str) -> list[Any]:
        valid = {"cni.dev/valid-attachments": [{"containerID": container, "ifname": "eth0"}]}
        assert ours.call("kubelab-bridge", "GC", {**told, **valid}, node=node).code == 0
        return [link["ifname"] for link in node.json("ip", "-j", "link", "show", "type", "ifb")]

    assert len(collect("pod-1")) == 1
    assert collect("another") == []


@pytest.mark.parametrize("chained", ["ours", "reference"])
def test_the_configurations_own_rates_come_before_the_pods(
    request: pytest.FixtureRequest, ours: Plugins, config: Config, node: Namespace, pod: Namespace, chained: str
) -> None:
    where = {"node": node, "netns": str(pod.path)}
    previous = ours.call("kubelab-bridge", "ADD", {**config, "type": "kubelab-bridge"}, **where).result
    link = {"cniVersion": config["cniVersion"], "name": config["name"], "type": "bandwidth", "prevResult": previous}
    link |= {"ingressRate": 2 * RATE, "ingressBurst": 65536 * 8, "runtimeConfig": limits(TO_POD, FROM_POD)}
    plugins: Plugins = request.getfixturevalue(chained)
    for command in ("ADD", "CHECK"):
        assert plugins.call("bandwidth", command, link, **where).code == 0
    shaped = [queue for queue in node.json("tc", "-j", "qdisc", "show") if queue["kind"] == "tbf"]
    assert [queue["options"]["rate"] for queue in shaped] == [2 * RATE // 8]
