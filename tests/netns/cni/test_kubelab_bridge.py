"""What kubelab-bridge does beyond the reference: spec 1.1, hostPorts without a second plugin, refusals with codes."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace, connect

Config = dict[str, Any]
Make = Callable[[str], Namespace]
Leases = Callable[[], dict[str, str]]


def attach(plugins: Plugins, config: Config, node: Namespace, pod: Namespace, container: str = "pod-1") -> Any:
    return plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(pod.path), container=container).result


def test_gc_frees_what_the_runtime_does_not_know(
    plugins: Plugins, config: Config, node: Namespace, make: Make, leases: Leases
) -> None:
    config["cniVersion"] = "1.1.0"
    for name in ("a", "b", "c"):
        attach(plugins, config, node, make(name), name)
    config["cni.dev/valid-attachments"] = [
        {"containerID": "b", "ifname": "eth0"},
        {"containerID": "c", "ifname": "net1"},
    ]
    assert plugins.call(plugins.bridge, "GC", config, node=node).code == 0
    assert leases() == {"10.99.1.3": "b\r\neth0"}


def test_status_tells_a_full_network(plugins: Plugins, config: Config, node: Namespace, make: Make) -> None:
    config |= {"cniVersion": "1.1.0", "ipam": {**config["ipam"], "ranges": [[{"subnet": "10.99.1.0/30"}]]}}
    assert plugins.call(plugins.bridge, "STATUS", config, node=node).code == 0
    attach(plugins, config, node, make("pod"))
    assert plugins.call(plugins.bridge, "STATUS", config, node=node).error["code"] == 50


def test_refusals_carry_the_version_of_the_call(plugins: Plugins, config: Config, node: Namespace) -> None:
    error = plugins.call(plugins.bridge, "ADD", config, node=node, netns="/run/netns/knet-none").error
    assert (error["cniVersion"], error["code"]) == ("1.0.0", 3)
    assert "knet-none" in error["msg"]


def test_refusals_of_the_disk_and_of_a_check_without_a_result(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    answer = plugins.call(
        plugins.bridge,
        "ADD",
        {**config, "ipam": {**config["ipam"], "dataDir": str(file)}},
        node=node,
        netns=str(pod.path),
    )
    assert (answer.error["code"], str(file) in answer.error["details"]) == (5, True), answer.text
    assert node.json("ip", "-j", "link", "show", "type", "veth") == []
    attach(plugins, config, node, pod)
    answer = plugins.call(plugins.bridge, "CHECK", config, node=node, netns=str(pod.path))
    assert (answer.error["code"], answer.error["msg"]) == (7, "Required prevResult missing")


def test_the_machines_own_namespace_is_refused_before_anything(
    plugins: Plugins, config: Config, node: Namespace, leases: Leases
) -> None:
    for command in ("ADD", "DEL"):
        answer = plugins.call(plugins.bridge, command, config, node=node, netns=str(node.path), interface="lo")
        assert answer.error["code"] == 8
    assert leases() == {}
    assert [link["ifname"] for link in node.json("ip", "-j", "link")] == ["lo"]


@pytest.mark.parametrize("field", ["vlan", "disableContainerInterface", "portIsolation"])
def test_a_field_that_is_not_carried_out_is_refused(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, field: str
) -> None:
    answer = plugins.call(plugins.bridge, "ADD", {**config, field: 1}, node=node, netns=str(pod.path))
    assert answer.error["code"] == 2


@pytest.mark.parametrize(
    "more",
    [{"conditionsV4": ["-d", "192.0.2.0/24"]}, {"conditionsV6": ["x"]}, {"masqAll": True}, {"snat": False}],
)
def test_a_field_of_portmap_that_is_not_carried_out_is_refused(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, more: Config
) -> None:
    """A port that is open to more than it was said to be open to is worse than none; DEL goes on."""
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    link = {**config, "type": "portmap", "runtimeConfig": ports, **more}
    result = attach(plugins, config, node, pod)
    answer = plugins.call("portmap", "ADD", {**link, "prevResult": result}, node=node, netns=str(pod.path))
    assert (answer.error["code"], answer.error["msg"]) == (2, f"portmap does not support {next(iter(more))}")
    assert "CNI-DN-" not in node.run("iptables-save", "-t", "nat")
    assert plugins.call("portmap", "DEL", link, node=node, netns=str(pod.path)).code == 0
    accepted = {**link, **dict.fromkeys(more), "snat": True, "prevResult": result}
    assert plugins.call("portmap", "ADD", accepted, node=node, netns=str(pod.path)).code == 0


def test_mtu_is_the_uplinks_unless_given(plugins: Plugins, config: Config, node: Namespace, make: Make) -> None:
    outside, pod = make("outside"), make("pod")
    connect(node, outside, "192.0.2.10/24", "192.0.2.2/24", ("up0", "down0"))
    node.run("ip", "link", "set", "up0", "mtu", "1300")
    node.run("ip", "route", "add", "default", "via", "192.0.2.2")
    attach(plugins, {**config, "mtu": 0}, node, pod)
    assert pod.json("ip", "-j", "link", "show", "eth0")[0]["mtu"] == 1300


def test_both_families(plugins: Plugins, config: Config, node: Namespace, make: Make) -> None:
    config["ipam"]["ranges"] = [[{"subnet": "10.99.1.0/24"}], [{"subnet": "fd00:99::/64"}]]
    one, other = make("one"), make("other")
    attach(plugins, config, node, one, "one")
    config["prevResult"] = attach(plugins, config, node, other, "other")
    assert [ip["address"] for ip in config["prevResult"]["ips"]] == ["10.99.1.3/24", "fd00:99::3/64"]
    check = plugins.call(plugins.bridge, "CHECK", config, node=node, netns=str(other.path), container="other")
    assert check.code == 0, check.text
    [address] = [
        info
        for info in other.json("ip", "-j", "-6", "address", "show", "eth0")[0]["addr_info"]
        if info["scope"] == "global"
    ]
    assert not address.get("tentative")
    assert node.run("sysctl", "-n", "net.ipv6.conf.all.forwarding").strip() == "1"
    assert other.json("ip", "-6", "-j", "route", "show", "default")[0]["gateway"] == "fd00:99::1"


def test_masquerade_over_ipv6(plugins: Plugins, config: Config, node: Namespace, pod: Namespace, make: Make) -> None:
    config |= {"ipMasq": True, "spoofCheck": True, "ipam": {**config["ipam"], "ranges": [[{"subnet": "fd00:99::/64"}]]}}
    outside = make("outside")
    connect(node, outside, "2001:db8::1/64", "2001:db8::2/64", ("up0", "down0"))
    server = outside.serve("outside", 8080, "::")
    try:
        assert attach(plugins, config, node, pod)["ips"][0]["address"] == "fd00:99::2/64"
        assert pod.ask("2001:db8::2", 8080) == "outside from 2001:db8::1"
    finally:
        server.close()
    assert plugins.call(plugins.bridge, "DEL", config, node=node, netns=str(pod.path)).code == 0
    assert "CNI-" not in node.run("ip6tables-save", "-t", "nat")


@pytest.mark.parametrize("spelled", ["hostPort", "HostPort"], ids=["by the conventions", "by containerd"])
@pytest.mark.parametrize("chained", [False, True], ids=["in kubelab-bridge", "chained portmap"])
def test_host_ports(
    plugins: Plugins, config: Config, node: Namespace, make: Make, chained: bool, spelled: str
) -> None:  # fmt: skip
    outside, pod = make("outside"), make("pod")
    connect(node, outside, "192.0.2.1/24", "192.0.2.2/24", ("up0", "down0"))
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    if spelled == "HostPort":
        ports = {"portMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}]}
    foreign = "-A PREROUTING -p tcp -m tcp --dport 9999 -j REDIRECT --to-ports 22"
    node.run("iptables-restore", "--noflush", input=f"*nat\n{foreign}\nCOMMIT\n")

    def call(command: str) -> None:
        if chained:
            result = attach(plugins, config, node, pod) if command == "ADD" else None
            link = {**config, "type": "portmap", "runtimeConfig": ports, "prevResult": result}
            answer = plugins.call("portmap", command, link, node=node, netns=str(pod.path))
        else:
            answer = plugins.call(
                plugins.bridge, command, {**config, "runtimeConfig": ports}, node=node, netns=str(pod.path)
            )
        assert answer.code == 0, answer.text

    call("ADD")
    server = pod.serve("pod", 80)
    try:
        assert outside.ask("192.0.2.1", 8080) == "pod from 192.0.2.2"
        assert node.ask("192.0.2.1", 8080).startswith("pod from ")
        assert node.ask("127.0.0.1", 8080) == "pod from 10.99.1.1"
        assert pod.ask("192.0.2.1", 8080) == "pod from 10.99.1.1"  # to itself, through the node
    finally:
        server.close()
    call("DEL")
    call("DEL")
    rules = node.run("iptables-save", "-t", "nat")
    assert "CNI-DN-" not in rules
    assert foreign in rules


@pytest.mark.parametrize("family", [4, 6])
def test_who_goes_on_sending_reaches_the_next_pod_with_the_port(
    plugins: Plugins, config: Config, node: Namespace, make: Make, family: int
) -> None:
    """A client that keeps its UDP port: the kernel knows where it was led, and would lead it there for ever."""
    outside, subnet = make("outside"), "10.99.1.0/24" if family == 4 else "fd00:99::/64"
    at = "192.0.2.1" if family == 4 else "2001:db8::1"
    length = "/24" if family == 4 else "/64"
    connect(node, outside, f"{at}{length}", f"{at[:-1]}2{length}", ("up0", "down0"))
    runtime = {"portMappings": [{"hostPort": 5353, "containerPort": 53, "protocol": "udp"}]}
    config = {**config, "ipam": {**config["ipam"], "ranges": [[{"subnet": subnet}]]}, "runtimeConfig": runtime}
    for name in ("first", "second"):
        pod = make(name)
        where = {"node": node, "netns": str(pod.path), "container": name}
        assert plugins.call(plugins.bridge, "ADD", config, **where).code == 0
        server = pod.serve(name, 53, "0.0.0.0" if family == 4 else "::", socket.SOCK_DGRAM)
        try:
            assert outside.ask_udp(at, 5353, source=4000).startswith(f"{name} from ")
        finally:
            server.close()
        assert plugins.call(plugins.bridge, "DEL", config, **where).code == 0


def test_a_result_that_claims_another_pods_address_is_refused(
    plugins: Plugins, config: Config, node: Namespace, make: Make
) -> None:
    attach(plugins, config, node, make("victim"), "victim")
    thief = make("thief")
    result = attach(plugins, config, node, thief, "thief")
    result["ips"][0]["address"] = "10.99.1.2/24"
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    link = {**config, "type": "portmap", "runtimeConfig": ports, "prevResult": result}
    error = plugins.call("portmap", "ADD", link, node=node, netns=str(thief.path), container="thief").error
    assert (error["code"], error["msg"]) == (101, "10.99.1.2 is the address of victim")
    assert "10.99.1.2" not in node.run("iptables-save", "-t", "nat")


def test_a_container_named_to_inject_rules_is_refused(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace
) -> None:
    for hostile in ('x" -j ACCEPT', "x\n-F", "x;y", "--help"):
        answer = plugins.call(
            plugins.bridge, "ADD", {**config, "ipMasq": True}, node=node, netns=str(pod.path), container=hostile
        )
        assert answer.error["code"] == 4


def test_without_a_command_it_says_what_it_is(plugins: Plugins) -> None:
    done = subprocess.run([plugins.directory / plugins.bridge], env={"PATH": os.environ["PATH"]}, capture_output=True)
    assert done.returncode == 0
    assert b"CNI protocol versions supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0" in done.stderr


def test_install_is_idempotent(plugins: Plugins) -> None:
    from nodeagent.cni import install

    python = Path(os.path.realpath("/usr/bin/python3"))
    source = Path(install.__file__).parents[2]
    before = {path: path.stat().st_mtime_ns for path in plugins.directory.iterdir()}
    first = plugins.directory / "again"
    assert len(install.install(first, python, source)) == len(install.PLUGINS)
    assert install.install(first, python, source) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
