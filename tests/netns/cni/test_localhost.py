"""hostPorts on 127.0.0.1 of the machine, and what that must not open: 127.0.0.0/8 is nobody else's (CVE-2020-8558)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace


def test_no_pod_reaches_what_listens_on_127_0_0_1(
    plugins: Plugins, config: dict[str, Any], node: Namespace, pod: Namespace
) -> None:
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    for container in ("first", "second"):  # one rule for all pods
        given = {"node": node, "netns": str(pod.path), "container": container}
        assert plugins.call(plugins.bridge, "ADD", {**config, "runtimeConfig": ports}, **given).code == 0
        if container == "first":
            assert plugins.call(plugins.bridge, "DEL", {**config, "runtimeConfig": ports}, **given).code == 0
    own = pod.json("ip", "-j", "-4", "address", "show", "dev", "eth0")[0]["addr_info"][0]["local"]
    pod.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    pod.run("ip", "address", "flush", "dev", "lo")
    pod.run("ip", "route", "add", "127.0.0.0/8", "via", "10.99.1.1")
    server, host_port = node.serve("the machine's own", 9000, "127.0.0.1"), pod.serve("pod", 80)
    try:
        assert node.ask("127.0.0.1", 8080) == "pod from 10.99.1.1"
        with pytest.raises(TimeoutError):
            pod.ask("127.0.0.1", 9000, timeout=1, source=(own, 0))
        assert node.ask("127.0.0.1", 9000) == "the machine's own from 127.0.0.1"
        [guard] = [line for line in node.run("iptables-save", "-t", "raw").splitlines() if line.startswith("-A ")]
        # It is this rule that keeps the pod out.
        node.run("iptables-restore", "--noflush", input=f"*raw\n-D{guard[2:]}\nCOMMIT\n")
        assert pod.ask("127.0.0.1", 9000, source=(own, 0)) == f"the machine's own from {own}"
    finally:
        server.close()
        host_port.close()
