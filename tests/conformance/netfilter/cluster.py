"""Two nodes as network namespaces, pods attached by our CNI plugin, and a proxier for each node: real packets only."""

import functools
import itertools
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from apimachinery.cache.lister import Lister
from apimachinery.kit.clock import SystemClock
from apimachinery.meta.endpoints import SERVICE_NAME
from nodeagent.cni import install
from nodeagent.proxy import services
from nodeagent.proxy.conntrack import forget_stale
from nodeagent.proxy.node import NodeView
from nodeagent.proxy.proxier import SLICES_OF_SERVICE, Proxier
from nodeagent.proxy.stale import Wanted
from nodeagent.routes.conflist import render_conflist
from nodeagent.routes.kernel import Kernel
from nodeagent.routes.plan import PodRoute
from tests.conformance.netfilter.modes import mode
from tests.netns.cni.namespaces import Namespace, Server, connect

PORT = 8080  # of every pod's server


class Plan(NamedTuple):
    """The addresses of a family. node, subnet: with the node's number for {}."""

    family: int
    pods: str
    subnet: str
    node: str
    length: int
    port: str
    any: str

    def outside(self) -> str:
        return self.node.format(9)


IPV4 = Plan(4, "10.244.0.0/16", "10.244.{}.0/24", "192.0.2.{}", 24, "198.51.100.{}/32", "0.0.0.0")
IPV6 = Plan(6, "fd00:10:244::/48", "fd00:10:244:{}::/64", "2001:db8::{}", 64, "2001:db8:ffff::{}/128", "::")


class Pod:
    """A pod whose server tells its name and who asked."""

    def __init__(self, name: str, node: "Node", namespace: Namespace, ip: str, any_address: str) -> None:
        self.name, self.node, self.namespace, self.ip = name, node, namespace, ip
        self.ask, self.ask_udp = namespace.ask, namespace.ask_udp
        self.servers: list[Server] = [
            namespace.serve(name, PORT, any_address, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        ]


class Node:
    """One node. Its name is `node-N`, its address 192.0.2.N or 2001:db8::N, its pods' subnet 10.244.N.0/24 or alike."""

    def __init__(self, number: int, cluster: "Cluster", mode_name: str) -> None:
        plan = self._plan = cluster.plan
        self.name, self.ip = f"node-{number}", plan.node.format(number)
        self.subnet = plan.subnet.format(number)
        self._cluster = cluster
        self.namespace = Namespace(self.name)
        self.mode = mode(mode_name, self.namespace, plan.family)
        self.proxier = Proxier(
            self.name,
            cluster.services,
            cluster.slices,
            self.mode.backend,
            plan.family,
            NodeView(cluster_cidr=plan.pods, pod_cidr=self.subnet, node_ip=self.ip),
            SystemClock(),
            self._forget_stale,
        )
        self._config = json.loads(render_conflist(self.subnet, data_dir=str(cluster.directory / self.name)))
        self._numbers = itertools.count()

    def _forget_stale(self, wanted: Wanted) -> int:
        return self.namespace.inside(lambda: forget_stale(self._plan.family, wanted))

    def pod(self, name: str) -> Pod:
        namespace = Namespace(name)
        config = {**self._config["plugins"][0], "cniVersion": "1.0.0", "name": "kubelab"}
        env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": name, "CNI_NETNS": str(namespace.path), "CNI_IFNAME": "eth0"}
        executable = str(self._cluster.directory / "bin" / "kubelab-bridge")
        answer = self.namespace.run(executable, input=json.dumps(config), env={**env, "CNI_PATH": "/none"})
        ip = json.loads(answer)["ips"][0]["address"].split("/")[0]
        pod = Pod(name, self, namespace, ip, self._plan.any)
        self._cluster.pods.append(pod)
        return pod


class Cluster:
    """The nodes, an outside machine on their network (192.0.2.9, 2001:db8::9), and what the API would hold."""

    def __init__(self, directory: Path, mode_name: str, plan: Plan = IPV4) -> None:
        self.directory, self.plan = directory, plan
        install.install(directory / "bin", Path(sys.executable).resolve(), Path(install.__file__).parents[2])
        self.services, self.slices, self.pods = Lister(), Lister(), list[Pod]()
        self.slices.add_index(SLICES_OF_SERVICE, lambda one: filter(None, (services.slice_service(one),)))
        self.switch, self.outside = Namespace("switch"), Namespace("outside")
        self.nodes = [Node(1, self, mode_name), Node(2, self, mode_name)]
        self.switch.run("ip", "link", "add", "br0", "type", "bridge")
        self.switch.run("ip", "link", "set", "br0", "up")
        at = [(node.namespace, node.ip) for node in self.nodes]
        for number, (namespace, ip) in enumerate([*at, (self.outside, plan.outside())]):
            ends = (plan.port.format(number), f"{ip}/{plan.length}")
            connect(self.switch, namespace, *ends, (f"port{number}", "up0"))
            self.switch.run("ip", "link", "set", f"port{number}", "master", "br0")
        self._routes()

    def _routes(self) -> None:
        for node, other in (self.nodes, self.nodes[::-1]):
            node.namespace.run("ip", f"-{self.plan.family}", "route", "add", "default", "via", self.plan.outside())
            said = "net.ipv4.conf.all.route_localnet=1", "net.ipv6.conf.all.forwarding=1"  # also where no pod is yet
            node.namespace.run("sysctl", "-qw", *said)
            route = PodRoute(other.subnet, other.ip)
            node.namespace.inside(functools.partial(Kernel().add, route))

    async def sync(self) -> None:
        for node in self.nodes:
            await node.proxier.sync()
            assert node.mode.backend.holds

    async def service(self, name: str, pods: list[Pod], **spec: Any) -> None:
        """Write a Service with its endpoints, and sync. conditions, zones (of hints): by pod's name; status: of the
        Service."""
        conditions: Mapping[str, Any] = spec.pop("conditions", {})
        zones: Mapping[str, str] = spec.pop("zones", {})
        status = spec.pop("status", {})
        protocol = spec.pop("protocol", "TCP")
        port = {"port": 80, "targetPort": PORT, "protocol": protocol} | (
            {"nodePort": spec.pop("nodePort")} if "nodePort" in spec else {}
        )
        old = self.services.get(name, "default")
        self.services.put({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "ClusterIP", "ports": [port], **(old or {}).get("spec", {}), **spec},
            "status": status,
        })  # fmt: skip
        self.slices.put({
            "metadata": {"name": f"{name}-x", "namespace": "default", "labels": {SERVICE_NAME: name}},
            "addressType": f"IPv{self.plan.family}",
            "ports": [{"name": "", "port": PORT, "protocol": protocol}],
            "endpoints": [
                {
                    "addresses": [pod.ip],
                    "nodeName": pod.node.name,
                    "conditions": {"ready": True, **conditions.get(pod.name, {})},
                    "hints": {"forZones": [{"name": zones[pod.name]}]} if pod.name in zones else {},
                }
                for pod in pods
            ],
        })  # fmt: skip
        await self._changed(name)

    async def delete(self, name: str) -> None:
        self.services.remove(f"default/{name}")
        self.slices.remove(f"default/{name}-x")
        await self._changed(name)

    async def _changed(self, name: str) -> None:
        for node in self.nodes:
            node.proxier.service_changed(f"default/{name}")
        await self.sync()

    def close(self) -> None:
        for pod in self.pods:
            for server in pod.servers:
                server.close()
            pod.namespace.delete()
        for namespace in (self.nodes[0].namespace, self.nodes[1].namespace, self.outside, self.switch):
            namespace.delete()
