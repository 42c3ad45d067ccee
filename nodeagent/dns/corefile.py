"""What a Corefile says, typed: the directives of CoreDNS that are understood here. Pure but for imported files.

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

More server blocks name more zones: `example.test { forward . 10.0.0.53 }` is a stub domain. A query is answered by the
block with the longest zone that covers its name, in CoreDNS's order of plugins whatever the order of lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit.config import ConfigError, Problems
from nodeagent.dns import caddyfile, directives, log_directives
from nodeagent.dns.caddyfile import Directive, ServerBlock, parsing
from nodeagent.dns.message import Name
from nodeagent.dns.reverse import zones_and_port
from nodeagent.dns.settings import Cache, Errors, Forward, Hosts, Kubernetes, Log, Reload, Rewrite

# What they ask for is always done here, or is CoreDNS's inner affair.
_WITHOUT_EFFECT = frozenset({"debug"})
_KNOWN_TO_COREDNS = frozenset(
    (
        "acl", "any", "auto", "autopath", "azure", "bind", "bufsize", "cancel", "chaos", "clouddns", "dns64", "dnssec",
        "dnstap", "erratic", "etcd", "file", "geoip", "grpc", "header", "k8s_external", "local", "metadata", "minimal",
        "multisocket", "nsid", "pprof", "quic", "root", "route53", "secondary", "sign", "template", "timeouts", "tls",
        "trace", "transfer", "tsig", "view", "whoami",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Block:
    """One server block. zones: those it answers for; () is the root."""

    zones: tuple[Name, ...]
    port: int
    kubernetes: Kubernetes | None = None
    forwards: tuple[Forward, ...] = ()
    cache: Cache | None = None
    hosts: Hosts | None = None
    rewrites: tuple[Rewrite, ...] = ()
    log: Log | None = None
    errors: Errors | None = None
    loop: bool = False
    loadbalance: bool = False


@dataclass(frozen=True, slots=True)
class Corefile:
    """All server blocks, and what is there once for the process. Ports are None when not asked for.

    lameduck: seconds for which a server that was told to end says it is unwell and goes on answering. digest: SHA512
    of what the file says, its layout left out.
    """

    blocks: tuple[Block, ...]
    health: int | None = None
    lameduck: float = 0.0
    ready: int | None = None
    prometheus: int | None = None
    reload: Reload | None = None
    digest: str = field(default="", compare=False)

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(sorted({block.port for block in self.blocks}))


class BadSyntax(ConfigError):
    """Nobody can tell what the file says: its blocks do not close, what it imports is not there."""


class Refused(ConfigError):
    """The file says what cannot be served. digest: as a Corefile's."""

    def __init__(self, problems: list[str], digest: str) -> None:
        super().__init__(problems)
        self.digest = digest


def parse(
    text: str,
    path: Path = Path("Corefile"),
    environment: Mapping[str, str] | None = None,
    resolv_conf: Path = Path("/etc/resolv.conf"),
) -> Corefile:
    """environment: what `{$NAME}` stands for. Raises BadSyntax, Refused with every problem, each with its line."""
    problems = Problems()
    servers = caddyfile.read(text, path, environment or {}, problems)
    if problems:
        raise BadSyntax(list(problems))
    if not servers:
        problems.add(str(path), "no server block")
    ports: dict[str, int] = {}
    once = _Once()
    blocks = [_block(server, once, ports, resolv_conf, problems) for server in servers]
    said = repr([(server.words, [(one.words, [line.words for line in one.block]) for one in server.directives])
                 for server in servers])  # fmt: skip
    digest = hashlib.sha512(said.encode()).hexdigest()
    if wrong := [*problems, *_served_twice(blocks)]:
        raise Refused(wrong, digest)
    return Corefile(
        tuple(blocks), ports.get("health"), once.lameduck, ports.get("ready"), ports.get("prometheus"), once.reload,
        digest,
    )  # fmt: skip


def _served_twice(blocks: Iterable[Block]) -> Iterator[str]:
    """CoreDNS does not say where."""
    seen: dict[tuple[Name, int], Block] = {}
    for block in blocks:
        for zone in block.zones:
            if seen.setdefault((zone, block.port), block) is not block:
                yield f"cannot serve dns://{'.'.join(zone)}.:{block.port} - it is already defined"


@dataclass(slots=True)
class _Once:
    lameduck: float = 0.0
    reload: Reload | None = None


@dataclass(slots=True)
class _Draft:
    kubernetes: Kubernetes | None = None
    forwards: list[Forward] = field(default_factory=list)
    cache: Cache | None = None
    hosts: Hosts | None = None
    rewrites: list[Rewrite] = field(default_factory=list)
    log: Log | None = None
    errors: Errors | None = None
    said: set[str] = field(default_factory=set)


def _block(server: ServerBlock, once: _Once, ports: dict[str, int], resolv_conf: Path, problems: Problems) -> Block:
    zones, port = _zones_and_port(server, problems)
    draft = _Draft()
    for directive in server.directives:
        name = directive.name
        if name in draft.said and name not in ("forward", "rewrite", "log"):
            problems.add(
                f"plugin/{name}: {parsing(directive.where)}", "this plugin can only be used once per Server Block"
            )
        draft.said.add(name)
        if name in ("health", "ready", "prometheus"):
            ports[name] = directives.address_port(directive, problems)
            if name == "health":
                once.lameduck = directives.lameduck(directive, problems)
        elif name == "reload":
            once.reload = directives.reload(directive, problems)
        elif name == "log":
            log = log_directives.log(directive, problems)
            draft.log = log if draft.log is None else Log((*draft.log.rules, *log.rules))
        elif not _plugin(directive, draft, zones, resolv_conf, problems):
            known = "is not implemented here" if name in _KNOWN_TO_COREDNS else ""
            problems.add(
                parsing(directive.where), f"plugin '{name}' {known}" if known else f"Unknown directive '{name}'"
            )
    return Block(
        zones, port, draft.kubernetes, tuple(draft.forwards), draft.cache, draft.hosts, tuple(draft.rewrites),
        draft.log, draft.errors, "loop" in draft.said, "loadbalance" in draft.said,
    )  # fmt: skip


def _plugin(
    directive: Directive, draft: _Draft, zones: tuple[Name, ...], resolv_conf: Path, problems: Problems
) -> bool:
    """False for a directive nobody knows."""
    match directive.name:
        case "kubernetes":
            draft.kubernetes = directives.kubernetes(directive, zones, problems)
        case "forward":
            draft.forwards.append(directives.forward(directive, resolv_conf, problems))
        case "cache":
            draft.cache = directives.cache(directive, zones, problems)
        case "hosts":
            draft.hosts = directives.hosts(directive, zones, problems)
        case "rewrite":
            draft.rewrites += directives.rewrite(directive, problems)
        case "errors":
            draft.errors = log_directives.errors(directive, problems)
        case "loop" | "loadbalance":
            pass
        case name:
            return name in _WITHOUT_EFFECT
    return True


def _zones_and_port(server: ServerBlock, problems: Problems) -> tuple[tuple[Name, ...], int]:
    zones: list[Name] = []
    ports: set[int] = set()
    for word in server.words:
        scheme = word.rpartition("://")[0]
        if scheme not in ("", "dns"):
            problems.add(parsing(server.where), f"the transport {scheme}:// is not implemented here")
        named, port = zones_and_port(word)
        zones += named
        ports.add(directives.number(parsing(server.where), [port or "53"], problems))
    if not zones:
        problems.add(parsing(server.where), "a server block must begin with its zones and '{'")
        return ((),), 53
    if len(ports) > 1:
        problems.add(parsing(server.where), "the zones of a server block have one port")
    return tuple(zones), ports.pop()
