"""Rules of hostPorts and masquerading: CHECK misses what was removed, GC removes what a lost pod left."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.cni.plugins import Answer, Plugins
from tests.netns.cni.namespaces import Namespace

Config = dict[str, Any]
Make = Callable[[str], Namespace]
FOREIGN = "-A PREROUTING -p tcp -m tcp --dport 9999 -j REDIRECT --to-ports 22"


def ports(first: int) -> Config:
    """What the runtime says of a pod with two hostPorts."""
    return {
        "portMappings": [
            {"hostPort": first, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": first, "containerPort": 53, "protocol": "udp"},
        ]
    }


def of_both_families(config: Config, number: int = 1) -> Config:
    ranges = [[{"subnet": f"10.99.{number}.0/24"}], [{"subnet": f"fd00:99:{number}::/64"}]]
    capable = {"portMappings": True}
    return {**config, "cniVersion": "1.1.0", "capabilities": capable, "ipam": {**config["ipam"], "ranges": ranges}}


def save(node: Namespace) -> str:
    return node.run("iptables-save", "-t", "nat") + node.run("ip6tables-save", "-t", "nat")


@pytest.mark.parametrize("damage", ["-F {chain}", "-F CNI-HOSTPORT-DNAT"])
@pytest.mark.parametrize("chained", [False, True], ids=["in kubelab-bridge", "chained portmap"])
def test_check_misses_a_host_port(
    plugins: Plugins, config: Config, node: Namespace, pod: Namespace, chained: bool, damage: str
) -> None:
    """Debian's reference is not asked: its portmap wants rules of IPv6 for pods without such an address."""
    config = of_both_families(config)

    def call(executable: str, command: str, **more: Any) -> Answer:
        return plugins.call(executable, command, {**config, **more}, node=node, netns=str(pod.path))

    given = {"runtimeConfig": ports(8080)}
    executable = "portmap" if chained else plugins.bridge
    result = call(plugins.bridge, "ADD", **({} if chained else given)).result
    if chained:
        assert call("portmap", "ADD", **given, prevResult=result).code == 0
    assert call(executable, "CHECK", **given, prevResult=result).code == 0
    for command in ("iptables", "ip6tables"):
        [chain] = set(re.findall(r":(CNI-DN-\S+) ", node.run(f"{command}-save", "-t", "nat")))
        saved = node.run(f"{command}-save", "-t", "nat")
        node.run(command, "-t", "nat", *damage.format(chain=chain).split())
        assert call(executable, "CHECK", **given, prevResult=result).error["msg"]
        node.run(f"{command}-restore", input=saved)
        assert call(executable, "CHECK", **given, prevResult=result).code == 0


@pytest.mark.parametrize("chained", [False, True], ids=["in kubelab-bridge", "chained portmap"])
def test_gc_removes_the_rules_of_lost_pods(
    plugins: Plugins, config: Config, node: Namespace, make: Make, chained: bool
) -> None:
    networks = {
        "a": of_both_families({**config, "ipMasq": True}),
        "b": of_both_families({**config, "ipMasq": True}),
        "c": of_both_families({**config, "ipMasq": True, "name": "other", "bridge": "cni1"}, 2),
    }
    node.run("iptables-restore", "--noflush", input=f"*nat\n{FOREIGN}\nCOMMIT\n")

    def call(executable: str, command: str, given: Config, **more: str) -> Answer:
        return plugins.call(executable, command, given, node=node, **more)

    for number, (name, network) in enumerate(networks.items()):
        at = {"netns": str(make(name).path), "container": name}
        runtime = {"runtimeConfig": ports(8080 + number)}
        result = call(plugins.bridge, "ADD", {**network, **({} if chained else runtime)}, **at).result
        if chained:
            link = {**network, **runtime, "type": "portmap", "prevResult": result}
            assert call("portmap", "ADD", link, **at).code == 0
    full = save(node)
    assert {owner for owner in networks if rf"id: \"{owner}\"" in full} == set(networks)

    def collect(*valid: str) -> set[str]:
        """Whose rules are left."""
        listed = [{"containerID": name, "ifname": "eth0"} for name in valid]
        given = {**networks["a"], "cni.dev/valid-attachments": listed}
        for executable in (plugins.bridge, *(["portmap"] if chained else [])):
            assert call(executable, "GC", {**given, "type": executable}).code == 0
        saved = save(node)
        assert FOREIGN in saved
        owners = {owner for owner in networks if rf"id: \"{owner}\"" in saved}
        # Chains without a rule that leads to them are nobody's: there are none.
        chains = set(re.findall(r":(CNI-(?!HOSTPORT)\S+) ", saved))
        assert chains == set(re.findall(r"-j (CNI-(?!HOSTPORT)\S+)", saved)) and len(chains) == 2 * len(owners)
        return owners

    assert collect("a", "b") == {"a", "b", "c"}
    assert collect("b") == {"b", "c"}
    assert collect("b") == {"b", "c"}
    assert collect() == {"c"}
