"""What a bridge plugin does, as CNI SPEC 1.0 and the reference say; run against ours and against the reference."""

import concurrent.futures
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace, connect

Config = dict[str, Any]
Make = Callable[[str], Namespace]
Leases = Callable[[], dict[str, str]]


def attach(plugins: Plugins, config: Config, node: Namespace, pod: Namespace, container: str = "pod-1") -> Any:
    return plugins.call(
        plugins.bridge, "ADD", config, node=node, netns=str(pod.path), container=container
    ).result  # fmt: skip


def test_add_attaches_the_pod_as_its_result_says(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases
) -> None:
    result = attach(plugins, config, node, pod)
    assert result["cniVersion"] == "1.0.0"
    assert result["ips"] == [{"interface": 2, "address": "10.99.1.2/24", "gateway": "10.99.1.1"}]
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.99.1.1"}]
    bridge, host, container = result["interfaces"]
    assert (bridge["name"], container["name"], container["sandbox"]) == ("cni0", "eth0", str(pod.path))

    [eth0] = pod.json("ip", "-j", "address", "show", "eth0")
    [address] = [info for info in eth0["addr_info"] if info["family"] == "inet"]
    assert (address["local"], address["prefixlen"]) == ("10.99.1.2", 24)
    assert (eth0["address"], eth0["mtu"], "UP" in eth0["flags"]) == (container["mac"], 1400, True)
    [default] = pod.json("ip", "-j", "route", "show", "default")
    assert default["gateway"] == "10.99.1.1"

    [cni0] = node.json("ip", "-j", "address", "show", "cni0")
    assert cni0["address"] == bridge["mac"]
    assert "10.99.1.1" in [info["local"] for info in cni0["addr_info"]]
    [port] = node.json("ip", "-j", "-d", "link", "show", host["name"])
    assert (port["master"], port["mtu"], port["address"]) == ("cni0", 1400, host["mac"])
    assert port["linkinfo"]["info_slave_data"]["hairpin"] is True
    assert {"MULTICAST", "UP", "LOWER_UP"} <= set(port["flags"])
    assert node.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
    assert leases() == {"10.99.1.2": "pod-1\r\neth0"}


def test_pods_reach_the_gateway_and_each_other(plugins: Plugins, config: Config, node: Namespace, make: Make) -> None:
    pods = [make("pod"), make("pod")]
    for number, pod in enumerate(pods):
        attach(plugins, config, node, pod, f"pod-{number}")
    servers = [node.serve("node", 8080), pods[1].serve("second", 8080)]
    try:
        assert pods[0].ask("10.99.1.1", 8080) == "node from 10.99.1.2"
        assert pods[0].ask("10.99.1.3", 8080) == "second from 10.99.1.2"
    finally:
        for server in servers:
            server.close()


def test_delete_leaves_nothing_and_may_be_repeated(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases
) -> None:
    attach(plugins, config, node, pod)
    for _ in range(3):
        assert plugins.call(plugins.bridge, "DEL", config, node=node, netns=str(pod.path)).code == 0
    assert leases() == {}
    assert [link["ifname"] for link in pod.json("ip", "-j", "link")] == ["lo"]
    assert node.json("ip", "-j", "link", "show", "type", "veth") == []


@pytest.mark.parametrize("netns", ["", "gone"])
def test_delete_without_the_namespace_frees_the_address(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases, netns: str
) -> None:
    attach(plugins, config, node, pod)
    pod.delete()
    path = str(pod.path) if netns else ""
    assert plugins.call(plugins.bridge, "DEL", config, node=node, netns=path).code == 0
    assert leases() == {}


@pytest.mark.parametrize("missing", ["interface", "bridge", "leases", "rules", "everything"])
def test_delete_tolerates_what_is_missing(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases, missing: str
) -> None:
    # The reference does not get rid of its rules of masquerading without the address, and fails when they are gone.
    config["ipMasq"] = plugins.name != "reference"
    attach(plugins, config, node, pod)
    if missing in ("interface", "everything"):
        pod.run("ip", "link", "del", "eth0")
    if missing in ("bridge", "everything"):
        node.run("ip", "link", "del", "cni0")
    if missing in ("leases", "everything"):
        shutil.rmtree(config["ipam"]["dataDir"])
    if missing in ("rules", "everything"):
        for what in ("-F", "-X"):
            node.run("iptables", "-t", "nat", what)
    if missing == "everything":
        pod.delete()
    for _ in range(2):
        answer = plugins.call(plugins.bridge, "DEL", config, node=node, netns=str(pod.path))
        assert answer.code == 0, answer.text
    assert leases() == {}
    assert node.json("ip", "-j", "link", "show", "type", "veth") == []
    assert "CNI-" not in node.run("iptables-save", "-t", "nat")


def test_a_second_add_is_refused_and_harms_nothing(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases
) -> None:
    attach(plugins, config, node, pod)
    before = node.json("ip", "-j", "link", "show", "type", "veth")
    answer = plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(pod.path))
    assert answer.error["msg"]
    assert leases() == {"10.99.1.2": "pod-1\r\neth0"}
    after = node.json("ip", "-j", "link", "show", "type", "veth")
    assert [link["ifname"] for link in after] == [link["ifname"] for link in before]


def test_an_add_that_fails_leaves_nothing(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, leases: Leases
) -> None:
    pod.run("ip", "link", "add", "eth0", "type", "bridge")
    answer = plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(pod.path))
    assert "eth0" in answer.error["msg"]
    assert leases() == {}
    assert node.json("ip", "-j", "link", "show", "type", "veth") == []


def test_check_agrees_until_something_is_amiss(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace
) -> None:
    config["prevResult"] = attach(plugins, config, node, pod)

    def check() -> Any:
        return plugins.call(plugins.bridge, "CHECK", config, node=node, netns=str(pod.path))

    assert check().code == 0, check().text
    pod.run("ip", "route", "del", "default")
    assert check().error["msg"]
    pod.run("ip", "route", "add", "default", "via", "10.99.1.1")
    assert check().code == 0
    pod.run("ip", "address", "del", "10.99.1.2/24", "dev", "eth0")
    assert check().error["msg"]
    pod.run("ip", "link", "del", "eth0")
    assert check().error["msg"]


@pytest.mark.parametrize(("version", "family"), [("0.3.1", "4"), ("0.4.0", "4"), ("1.0.0", None)])
def test_result_in_the_form_of_the_callers_version(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, version: str, family: str | None
) -> None:
    result = attach(plugins, {**config, "cniVersion": version}, node, pod)
    assert result["cniVersion"] == version
    assert result["ips"][0].get("version") == family


def test_many_adds_at_once_get_addresses_of_their_own(
    plugins: Plugins, config: Config, node: Namespace, make: Make, leases: Leases
) -> None:
    pods = [make("pod") for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda pair: attach(plugins, config, node, pair[1], f"p{pair[0]}"), enumerate(pods)))
    addresses = {result["ips"][0]["address"] for result in results}
    assert len(addresses) == 8
    assert {f"{ip}/24" for ip in leases()} == addresses


def test_masquerade_of_what_leaves_the_subnet(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, make: Make
) -> None:
    outside = make("outside")
    connect(node, outside, "192.0.2.1/24", "192.0.2.2/24", ("up0", "down0"))
    server = outside.serve("outside", 8080)
    try:
        attach(plugins, {**config, "ipMasq": True}, node, pod)
        assert pod.ask("192.0.2.2", 8080) == "outside from 192.0.2.1"
        assert plugins.call(
            plugins.bridge, "DEL", {**config, "ipMasq": True}, node=node, netns=str(pod.path)
        ).code == 0  # fmt: skip
        assert "CNI-" not in node.run("iptables-save", "-t", "nat")
    finally:
        server.close()


def test_an_existing_link_that_is_no_bridge_is_refused(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace
) -> None:
    node.run("ip", "link", "add", "cni0", "type", "veth", "peer", "name", "other")
    answer = plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(pod.path))
    assert '"cni0" already exists but is not a bridge' in answer.error["msg"]


def test_force_address_moves_the_gateway(plugins: Plugins, config: Config, node: Namespace, make: Make) -> None:
    attach(plugins, config, node, make("pod"))
    config["ipam"]["ranges"] = [[{"subnet": "10.99.2.0/24"}]]
    answer = plugins.call(
        plugins.bridge, "ADD", {**config, "forceAddress": False}, node=node, netns=str(make("p").path), container="b"
    )
    assert "already has an IP address different from" in answer.error["msg"]
    attach(plugins, config, node, make("pod"), "c")
    [cni0] = node.json("ip", "-j", "-4", "address", "show", "cni0")
    assert [info["local"] for info in cni0["addr_info"]] == ["10.99.2.1"]


def test_version(plugins: Plugins) -> None:
    said = plugins.call(plugins.bridge, "VERSION", "").result
    assert {"0.3.1", "0.4.0", "1.0.0"} <= set(said["supportedVersions"])
    assert said["cniVersion"] in said["supportedVersions"]


@pytest.mark.parametrize(
    ("command", "change", "environment", "code", "words"),
    [
        ("ADD", "{", {}, 6, "error unmarshall network config"),
        ("ADD", {"name": ""}, {}, 7, "missing network name"),
        ("ADD", {"name": "a/b"}, {}, 7, "network name"),
        ("ADD", {"cniVersion": "7.0.0"}, {}, 1, "incompatible CNI versions"),
        ("ADD", {}, {"container": ""}, 4, "required env variables [CNI_CONTAINERID] missing"),
        ("ADD", {}, {"netns": "", "interface": ""}, 4, "required env variables [CNI_NETNS,CNI_IFNAME] missing"),
        ("ADD", {}, {"container": "../x"}, 4, "invalid characters in containerID"),
        ("ADD", {}, {"interface": "a-very-long-interface"}, 4, "interface name is too long"),
        ("ADD", {}, {"interface": "a/b"}, 4, "interface name contains / or :"),
        ("CHECK", {"cniVersion": "0.3.1"}, {}, 1, "config version does not allow CHECK"),
        ("FETCH", {}, {}, 4, "unknown CNI_COMMAND: FETCH"),
    ],
)  # fmt: skip
def test_refusals(
    plugins: Plugins,
    config: Config,
    node: Namespace,
    pod: Namespace,
    command: str,
    change: Config | str,
    environment: dict[str, str],
    code: int,
    words: str,
) -> None:
    given = change if isinstance(change, str) else json.dumps({**config, **change})
    environment = {"netns": str(pod.path), **environment}
    answer = plugins.call(plugins.bridge, command, given, node=node, **environment)
    assert (answer.error["code"], words in answer.error["msg"]) == (code, True), answer.text
    assert node.json("ip", "-j", "link", "show", "type", "veth") == []


def test_loopback(plugins: Plugins, node: Namespace, pod: Namespace) -> None:
    pod.run("ip", "link", "set", "lo", "down")
    config = {"cniVersion": "1.0.0", "name": "lo", "type": "loopback"}

    def call(command: str) -> Any:
        return plugins.call(plugins.loopback, command, config, node=node, netns=str(pod.path), interface="lo")

    result = call("ADD").result
    assert result["interfaces"] == [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": str(pod.path)}]
    assert "127.0.0.1/8" in [ip["address"] for ip in result["ips"]]
    assert call("CHECK").code == 0
    pod.run("ip", "link", "set", "lo", "down")
    assert call("CHECK").error["msg"] == "loopback interface is down"
    assert call("DEL").code == 0
