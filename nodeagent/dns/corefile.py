"""The Corefile: the subset of CoreDNS's configuration language that we understand (https://coredns.io/manual/configuration/).

    .:53 {
        errors
        health :8080
        ready :8181
        kubernetes cluster.local in-addr.arpa {
            pods insecure
            ttl 30
            fallthrough in-addr.arpa
        }
        prometheus :9153
        forward . /etc/resolv.conf
        cache 30
    }

More server blocks name more zones: `example.test { forward . 10.0.0.53 }` is a stub domain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit.config import Problems
from nodeagent.dns.message import Name, parse_name

# Directives that change nothing here: what they ask for is always done, or is CoreDNS's inner affair.
_ACCEPTED = frozenset({"errors", "log", "loop", "reload", "loadbalance", "lameduck", "debug", "whoami"})


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """zones: forward zones. ttl: seconds. pods: whether `1-2-3-4.ns.pod.zone` is answered. reverse: PTR asked of us."""

    zones: tuple[Name, ...]
    ttl: int = 5
    pods: bool = False
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """What is under `zone` is asked of `servers` ((address, port)s, in order)."""

    zone: Name
    servers: tuple[tuple[str, int], ...]
    max_concurrent: int = 1000


@dataclass(frozen=True, slots=True)
class Corefile:
    """cache: for how many seconds at most an answer of another server is kept. Ports are None when not asked for."""

    port: int = 53
    kubernetes: Kubernetes | None = None
    forwards: tuple[Forward, ...] = ()
    cache: int = 0
    health: int | None = None
    ready: int | None = None
    prometheus: int | None = None


@dataclass(slots=True)
class _Directive:
    line: int
    words: list[str]
    block: list[tuple[int, list[str]]] = field(default_factory=list)


@dataclass(slots=True)
class _Server:
    line: int
    zones: list[str]
    directives: list[_Directive] = field(default_factory=list)


def parse(text: str, resolv_conf: Path = Path("/etc/resolv.conf")) -> Corefile:
    """Raises ConfigError with every problem, each with its line."""
    problems = Problems()
    servers = _read(text, problems)
    if not servers and not problems:
        problems.add("Corefile", "no server block")
    port, kubernetes, cache = 53, None, 0
    forwards: list[Forward] = []
    ports: dict[str, int] = {}
    for server in servers:
        zone, port = _zone_and_port(server, problems)
        for directive in server.directives:
            where, name = f"Corefile:{directive.line}", directive.words[0]
            if name in _ACCEPTED:
                continue
            if name == "kubernetes":
                kubernetes = _kubernetes(directive, problems)
            elif name == "forward":
                forwards.append(_forward(directive, zone, resolv_conf, problems))
            elif name == "cache":
                cache = _number(where, directive.words[1:2] or ["30"], problems)
            elif name in ("health", "ready", "prometheus"):
                default = {"health": ":8080", "ready": ":8181", "prometheus": ":9153"}[name]
                address = (directive.words[1:2] or [default])[0]
                ports[name] = _number(where, [address.rpartition(":")[2]], problems)
            else:
                problems.add(where, f"unknown directive '{name}'")
    problems.raise_if_any()
    # The longest zone first: the most exact forward wins.
    forwards.sort(key=lambda forward: -len(forward.zone))
    return Corefile(
        port, kubernetes, tuple(forwards), cache, ports.get("health"), ports.get("ready"), ports.get("prometheus")
    )


def _read(text: str, problems: Problems) -> list[_Server]:
    servers: list[_Server] = []
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        opens, closes = words[-1] == "{", words == ["}"]
        if opens:
            words = words[:-1]
        if closes:
            depth -= 1
            if depth < 0:
                problems.add(f"Corefile:{number}", "a '}' too many")
                depth = 0
        elif depth == 0:
            if not opens:
                problems.add(f"Corefile:{number}", "a server block must begin with its zones and '{'")
                continue
            servers.append(_Server(number, words))
        elif depth == 1:
            servers[-1].directives.append(_Directive(number, words))
        elif depth == 2:
            servers[-1].directives[-1].block.append((number, words))
        if opens:
            depth += 1
            if depth > 2:
                problems.add(f"Corefile:{number}", "blocks nest too deep")
                depth = 2
    if depth:
        problems.add("Corefile", "the last '}' is missing")
    return servers


def _zone_and_port(server: _Server, problems: Problems) -> tuple[Name, int]:
    where = f"Corefile:{server.line}"
    if len(server.zones) != 1:
        problems.add(where, "a server block has one zone")
        return (), 53
    zone, _, port = server.zones[0].removeprefix("dns://").partition(":")
    return parse_name(zone), _number(where, [port or "53"], problems)


def _kubernetes(directive: _Directive, problems: Problems) -> Kubernetes:
    names = [parse_name(word) for word in directive.words[1:]]
    zones = tuple(name for name in names if name[-1:] != ("arpa",))
    ttl, pods = 5, False
    for line, words in directive.block:
        where = f"Corefile:{line}"
        if words[0] == "ttl":
            ttl = _number(where, words[1:2], problems, most=3600)
        elif words[0] == "pods":
            if words[1:] not in (["insecure"], ["disabled"]):
                problems.add(where, "pods is 'insecure' or 'disabled'")
            pods = words[1:] == ["insecure"]
        elif words[0] not in ("fallthrough", "endpoint_pod_names", "noendpoints"):
            problems.add(where, f"unknown property '{words[0]}'")
    return Kubernetes(zones or (("cluster", "local"),), ttl, pods, len(zones) != len(names))


def _forward(directive: _Directive, block_zone: Name, resolv_conf: Path, problems: Problems) -> Forward:
    where = f"Corefile:{directive.line}"
    if len(directive.words) < 3:
        problems.add(where, "forward needs a zone and at least one server")
        return Forward((), ())
    zone = parse_name(directive.words[1]) or block_zone
    servers: list[tuple[str, int]] = []
    for word in directive.words[2:]:
        if word.startswith("/"):
            servers += read_resolv_conf(Path(word) if word != "/etc/resolv.conf" else resolv_conf)
            continue
        address, _, port = word.removeprefix("dns://").partition(":")
        servers.append((address, _number(where, [port or "53"], problems)))
    concurrent = 1000
    for line, words in directive.block:
        if words[0] == "max_concurrent":
            concurrent = _number(f"Corefile:{line}", words[1:2], problems)
        elif words[0] not in ("policy", "prefer_udp", "force_tcp", "expire", "health_check", "max_fails"):
            problems.add(f"Corefile:{line}", f"unknown property '{words[0]}'")
    return Forward(zone, tuple(servers), concurrent)


def read_resolv_conf(path: Path) -> list[tuple[str, int]]:
    """The name servers of a resolv.conf; none when there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(words[1], 53) for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]


def _number(where: str, words: list[str], problems: Problems, most: int = 65535) -> int:
    if words and words[0].isdecimal() and int(words[0]) <= most:
        return int(words[0])
    problems.add(where, f"{' '.join(words) or 'nothing'!r} is not a number up to {most}")
    return 0
