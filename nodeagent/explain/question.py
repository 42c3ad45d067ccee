"""FROM and TO, as people write them, into addresses, a port, and the nodes that have to be looked at. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from apimachinery.meta import objects

from .cluster import (
    Cluster,
    Object,
    endpoint_nodes,
    endpoints,
    family_of,
    node_ips,
    pod_ips,
    service_ips,
)

PROTOCOLS = ("tcp", "udp", "sctp")


class BadQuestion(ValueError):
    """Nothing is called so, or the question is not complete; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """kind: pod, node, service or address. ip: "" for one that a host chooses."""

    kind: str
    name: str
    ip: str
    object: Object | None = None

    def __str__(self) -> str:
        what = "Service" if self.kind == "service" else self.kind
        return f"{what} {self.name}" + (f" ({self.ip})" if self.ip and self.ip != self.name else "")


@dataclass(frozen=True, slots=True)
class Question:
    """via: the node by which a packet from outside enters. nodes: to be read; ips: whose pods, on each of them."""

    source: Target
    target: Target
    port: int
    protocol: str
    source_port: int
    via: str
    service: Object | None
    nodes: tuple[str, ...]
    ips: tuple[str, ...]

    @property
    def family(self) -> int:
        return family_of(self.target.ip)


def ask(
    cluster: Cluster, source: str, to: str, *, namespace: str = "default", protocol: str = "", source_port: int = 0,
    via: str = "",
) -> Question:  # fmt: skip
    """Raises BadQuestion. protocol: tcp, udp or sctp; "" for the only one that a Service has at the port, else tcp."""
    text, said_port = _split_port(to)
    target = find(cluster, text, namespace, ("pod", "service", "node"))
    start = find(cluster, source, namespace, ("pod", "node"), family=family_of(target.ip))
    port, protocol = _port(target, said_port, protocol.lower())
    service = target.object if target.kind == "service" else cluster.service_with(target.ip)
    if service is None and (target.kind == "node" or cluster.node_with(target.ip) is not None):
        service = next(iter(cluster.services_on_node_port(port, protocol)), None)
    slices = cluster.slices_of(service) if service is not None else []
    nodes = {*_home(cluster, start), *_home(cluster, target), *endpoint_nodes(slices)}
    if start.kind == "address":
        via = via or _entry(cluster, target)
    if via and cluster.node(via) is None:
        raise BadQuestion(f'nodes "{via}" not found')
    ips = {start.ip, target.ip, *(ip for one in slices for entry in endpoints(one) for ip in entry)}
    if target.kind == "node":
        ips |= {ip for pod in cluster.pods_on_host_port(target.name, port, protocol) for ip in pod_ips(pod)}
    known = {objects.name(one) for one in cluster.nodes}
    return Question(
        start, target, port, protocol, source_port, via, service,
        tuple(sorted((nodes | {via}) & known)), tuple(sorted(filter(_is_ip, ips))),
    )  # fmt: skip


def find(cluster: Cluster, text: str, namespace: str, kinds: tuple[str, ...], family: int | None = None) -> Target:
    """`pod/NAME`, `svc/NAME`, `node/NAME`, each also `…/NAMESPACE/NAME`; `NAME`, `NAMESPACE/NAME`, `SERVICE.NAMESPACE`;
    an address. Of bare names the first kind that has one so called. Raises BadQuestion."""
    if _is_ip(text.strip("[]")):
        return _by_address(cluster, str(ipaddress.ip_address(text.strip("[]"))))
    prefix, _, rest = text.partition("/")
    wanted = _PREFIXES.get(prefix) if rest else None
    name = rest if wanted is not None else text
    for kind in (wanted,) if wanted is not None else kinds:
        found = _by_name(cluster, kind, name, namespace, family)
        if found is not None:
            return found
    what = f"{wanted or ' or '.join(kinds)}"
    raise BadQuestion(
        f'no {what} is called "{name}" (namespace {namespace}); write pod/NAME, svc/NAME, node/NAME or an address'
    )


_PREFIXES = {
    "pod": "pod", "pods": "pod", "po": "pod", "svc": "service", "service": "service", "services": "service",
    "node": "node", "nodes": "node", "no": "node",
}  # fmt: skip


def _by_name(cluster: Cluster, kind: str, name: str, namespace: str, family: int | None) -> Target | None:
    space, slash, short = name.rpartition("/")
    space = space if slash else namespace
    if kind == "node":
        node = cluster.node(name)
        return Target("node", name, _pick(node_ips(node), family, f"node {name}"), node) if node is not None else None
    if kind == "pod":
        pod = cluster.pod(space, short)
        if pod is None:
            return None
        return Target("pod", f"{space}/{short}", _pick(pod_ips(pod), family, f"pod {space}/{short}"), pod)
    service = cluster.service(space, short)
    if service is None and not slash and "." in name:
        short, space = name.split(".")[:2]
        service = cluster.service(space, short)
    if service is None:
        return None
    if not service_ips(service):
        what = "an ExternalName" if (service.get("spec") or {}).get("type") == "ExternalName" else "headless"
        raise BadQuestion(
            f"Service {space}/{short} is {what}: DNS answers for it with other addresses; name one of them"
        )
    return Target("service", f"{space}/{short}", _pick(service_ips(service), family, f"Service {short}"), service)


def _by_address(cluster: Cluster, ip: str) -> Target:
    if (pod := cluster.pod_with(ip)) is not None:
        return Target("pod", objects.key(pod), ip, pod)
    if (service := cluster.service_with(ip)) is not None:
        return Target("service", objects.key(service), ip, service)
    if (node := cluster.node_with(ip)) is not None:
        return Target("node", objects.name(node), ip, node)
    return Target("address", ip, ip)


def _pick(ips: tuple[str, ...], family: int | None, what: str) -> str:
    found = next((ip for ip in ips if family is None or family_of(ip) == family), None)
    if found is None:
        raise BadQuestion(f"{what} has no address" + (f" of IPv{family}" if family is not None else " yet"))
    return found


def _port(target: Target, said: str, protocol: str) -> tuple[int, str]:
    """The number and the protocol. A name, or nothing, stands for a port of the Service or of the pod's containers."""
    known = _known_ports(target)
    if said.isdigit():
        number = int(said)
        if not 0 < number < 65536:
            raise BadQuestion(f"{said} is no port")
        spoken = [p for _, p, n in known if n == number]
        return number, protocol or (spoken[0] if len(set(spoken)) == 1 else "tcp")
    matching = [
        (number, spoken) for name, spoken, number in known if (not said or name == said) and protocol in ("", spoken)
    ]
    if not matching:
        raise BadQuestion(f"{target} has no port {said!r}" if said else f"which port of {target}? Write TO:PORT")
    return matching[0]


def _known_ports(target: Target) -> list[tuple[str, str, int]]:
    spec = (target.object or {}).get("spec") or {}
    if target.kind == "service":
        return [(p.get("name") or "", _protocol(p), int(p["port"])) for p in spec.get("ports") or ()]
    if target.kind == "pod":
        ports = (p for container in spec.get("containers") or () for p in container.get("ports") or ())
        return [(p.get("name") or "", _protocol(p), int(p["containerPort"])) for p in ports]
    return []


def _protocol(port: Object) -> str:
    return str(port.get("protocol") or "TCP").lower()


def _home(cluster: Cluster, target: Target) -> set[str]:
    """The node that has to be looked at for a target by itself."""
    if target.kind == "node":
        return {target.name}
    if target.kind == "pod" and target.object is not None:
        return {str((target.object.get("spec") or {}).get("nodeName") or "")}
    return set()


def _entry(cluster: Cluster, target: Target) -> str:
    """Where a packet from outside enters: the node that it is addressed to, or on which the pod is."""
    home = next(iter(_home(cluster, target)), "")
    if not home:
        raise BadQuestion(f"by which node does a packet from outside to {target} come? Say --via NODE")
    return home


def _split_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if _is_ip(text):
        return text, ""
    host, _, port = text.rpartition(":")
    return (host, port) if host else (text, "")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
