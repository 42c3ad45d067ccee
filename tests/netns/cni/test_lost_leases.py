"""No address is given twice, even when what is known of those in use was lost."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace, eventually

Config = dict[str, Any]
Make = Callable[[str], Namespace]
Leases = Callable[[], dict[str, str]]


def attach(plugins: Plugins, config: Config, node: Namespace, pod: Namespace, container: str) -> list[str]:
    answer = plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(pod.path), container=container)
    return [ip["address"] for ip in answer.result["ips"]]


def test_leases_are_made_anew_from_the_pods_that_run(
    plugins: Plugins, config: Config, node: Namespace, make: Make, leases: Leases
) -> None:
    config["ipam"]["ranges"] = [[{"subnet": "10.99.1.0/24"}], [{"subnet": "fd00:99::/64"}]]
    pods = {name: make(name) for name in ("a", "b")}
    for name, pod in pods.items():
        attach(plugins, config, node, pod, name)
    before = leases()
    shutil.rmtree(config["ipam"]["dataDir"])
    assert attach(plugins, config, node, make("c"), "c") == ["10.99.1.4/24", "fd00:99::4/64"]
    assert leases().items() >= before.items()
    path = str(pods["a"].path)
    assert plugins.call(plugins.bridge, "DEL", config, node=node, netns=path, container="a").code == 0
    assert "10.99.1.2" not in leases()


def test_one_lease_that_was_lost_is_enough(
    plugins: Plugins, config: Config, node: Namespace, make: Make, leases: Leases
) -> None:
    config["ipam"]["ranges"] = [[{"subnet": "10.99.1.0/29"}]]
    for name in ("a", "b", "c", "d"):
        attach(plugins, config, node, make(name), name)
    Path(config["ipam"]["dataDir"], "kubelab", "10.99.1.3").unlink()
    assert attach(plugins, config, node, make("e"), "e") == ["10.99.1.6/29"]
    full = plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(make("f").path), container="f").error
    assert "no IP addresses available in range set" in full["msg"]


def test_a_neighbour_that_nobody_gave_an_address_keeps_it(
    plugins: Plugins, config: Config, node: Namespace, make: Make
) -> None:
    config["ipam"]["ranges"] = [[{"subnet": "10.99.1.0/29"}]]
    attach(plugins, config, node, make("first"), "first")  # makes the bridge; has .2
    foreign = make("foreign")
    node.run("ip", "link", "add", "foreign", "type", "veth", "peer", "name", "eth0", "netns", foreign.name)
    node.run("ip", "link", "set", "foreign", "master", "cni0", "up")
    foreign.run("ip", "address", "add", "10.99.1.3/29", "dev", "eth0")
    foreign.run("ip", "link", "set", "eth0", "up")
    server = foreign.serve("foreign", 8080)
    try:
        eventually("the foreign pod", lambda: node.ask("10.99.1.3", 8080, timeout=1))
    finally:
        server.close()
    assert attach(plugins, config, node, make("second"), "second") == ["10.99.1.4/29"]
    node.run("ip", "link", "del", "foreign")
    for name, address in (("third", "10.99.1.5/29"), ("fourth", "10.99.1.6/29"), ("fifth", "10.99.1.3/29")):
        assert attach(plugins, config, node, make(name), name) == [address]


def test_delete_cuts_off_a_pod_whose_namespace_lost_its_name(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases
) -> None:
    attach(plugins, config, node, pod, "pod-1")
    keeper = subprocess.Popen(["nsenter", f"--net={pod.path}", "sleep", "600"])
    try:
        inside = Path("/proc", str(keeper.pid), "ns/net")
        eventually("a process inside", lambda: inside.stat().st_ino == pod.path.stat().st_ino)
        pod.delete()
        assert plugins.call(plugins.bridge, "DEL", config, node=node, netns=str(pod.path)).code == 0
        assert leases() == {}
        assert node.json("ip", "-j", "link", "show", "type", "veth") == []
    finally:
        keeper.kill()
        keeper.wait()
