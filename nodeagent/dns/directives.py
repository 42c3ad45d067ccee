"""From the words of a directive to its settings. Problems are told in CoreDNS's words, with file and line."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from apimachinery.kit.config import Problems
from apimachinery.meta.go_print import quoted
from apimachinery.meta.times import parse_duration
from nodeagent.dns import rewrite_rules
from nodeagent.dns.caddyfile import Directive, Line, parsing
from nodeagent.dns.message import RCODES, parse_name
from nodeagent.dns.reverse import zones_of
from nodeagent.dns.settings import (
    ROOT,
    Cache,
    Forward,
    Hosts,
    Keep,
    Kubernetes,
    Prefetch,
    Reload,
    Rewrite,
    Zones,
)

_DEFAULT_PORTS = {"health": 8080, "ready": 8181, "prometheus": 9153}
_MOST_SERVERS = 15
_MOST_TTL = 3600


def number(where: str, words: list[str], problems: Problems, most: int = 65535, least: int = 0) -> int:
    """The number that stands alone in `words`."""
    if words and words[0].isdecimal() and least <= int(words[0]) <= most:
        return int(words[0])
    if words and re.fullmatch(r"[+-]?\d+", words[0]) is None:
        problems.add(anywhere(where), f"strconv.Atoi: parsing {quoted(words[0])}: invalid syntax")
    else:
        problems.add(where, f"{' '.join(words) or 'nothing'!r} is not a number from {least} to {most}")
    return least


def seconds(where: str, words: list[str], problems: Problems) -> float:
    """A duration such as `5s` or `1h2m`; a number alone is seconds."""
    try:
        return float(words[0]) if words[0].isdecimal() else parse_duration(words[0])
    except (ValueError, IndexError):
        problems.add(where, f"invalid duration {' '.join(words)!r}")
        return 0.0


def anywhere(where: str) -> str:
    """The plugin alone: CoreDNS does not always say where in the file."""
    return where.partition(": ")[0] if where.startswith("plugin/") else where


def place_of(directive: Directive, line: Line | None = None) -> str:
    return f"plugin/{directive.name}: {parsing((line or directive).where)}"


def wrong_word(directive: Directive, line: Line, problems: Problems) -> None:
    """What `cache` and `health` say of a property that they do not know."""
    what = f"Wrong argument count or unexpected line ending after '{line.words[0]}'"
    problems.add(place_of(directive, line), what)


def unknown_property(directive: Directive, line: Line, problems: Problems) -> None:
    problems.add(place_of(directive, line), f"unknown property '{line.words[0]}'")


def address_port(directive: Directive, problems: Problems) -> int:
    """The port of `health`, `ready` and `prometheus`."""
    words = directive.words[1:2]
    if not words:
        return _DEFAULT_PORTS[directive.name]
    return number(place_of(directive), [words[0].rpartition(":")[2]], problems)


def lameduck(directive: Directive, problems: Problems) -> float:
    """Of `health`."""
    for line in directive.block:
        if line.words[0] == "lameduck":
            return seconds(place_of(directive, line), line.words[1:], problems)
        wrong_word(directive, line, problems)
    return 0.0


def reload(directive: Directive, problems: Problems) -> Reload:
    words = [seconds(place_of(directive), [word], problems) for word in directive.words[1:3]]
    interval = words[0] if words else 30.0
    jitter = words[1] if len(words) > 1 else 15.0
    if interval < 2:
        problems.add("plugin/reload", "interval value must be greater or equal to 2s")
    if 0 < jitter < 1:
        problems.add("plugin/reload", "jitter value must be 0 or greater or equal to 1s")
    return Reload(interval, min(jitter, interval / 2))


def kubernetes(directive: Directive, block: Zones, problems: Problems) -> Kubernetes:
    zones = zones_of(directive.words[1:]) or block
    if all(zone[-1:] == ("arpa",) for zone in zones):
        problems.add("plugin/kubernetes", "non-reverse zone name must be used")
    said = Kubernetes(zones)
    ttl, pods, through, names, empty = said.ttl, said.pods, said.through, said.pod_names, False
    endpoints, namespaces = True, said.namespaces
    for line in directive.block:
        where, words = place_of(directive, line), line.words
        match words[0]:
            case "ttl":
                ttl = number(where, words[1:2], problems, most=1 << 31)
                if ttl > _MOST_TTL:
                    problems.add(where, f"ttl must be in range [0, {_MOST_TTL}]: {ttl}")
            case "pods":
                pods = words[1] if len(words) == 2 else ""
                if pods not in ("disabled", "insecure", "verified"):
                    what = f"wrong value for pods: {pods},  must be one of: disabled, verified, insecure"
                    problems.add(anywhere(where), what)
            case "namespaces":
                namespaces = frozenset(words[1:])
            case "fallthrough":
                through = _through(words)
            case "endpoint_pod_names":
                names = True
            case "noendpoints":
                endpoints = False
            case "ignore" if words[1:] == ["empty_service"]:
                empty = True
            case _:
                unknown_property(directive, line, problems)
    return Kubernetes(zones, ttl, pods, namespaces, through, names, endpoints, empty)


def forward(directive: Directive, resolv_conf: Path, problems: Problems) -> Forward:
    where = place_of(directive)
    if len(directive.words) < 3:
        problems.add(where, "Wrong argument count or unexpected line ending after 'forward'")
        return Forward((), ())
    servers: list[tuple[str, int]] = []
    for word in directive.words[2:]:
        if word == "/etc/resolv.conf" or Path(word).is_file():
            servers += read_resolv_conf(Path(word) if word != "/etc/resolv.conf" else resolv_conf)
        elif (server := _server(word)) is None:
            problems.add(anywhere(where), f"not an IP address or file: {quoted(word)}")
        else:
            servers.append(server)
    if len(servers) > _MOST_SERVERS:
        problems.add(where, f"more than {_MOST_SERVERS} TOs configured: {len(servers)}")
    made: dict[str, object] = {}
    for line in directive.block:
        _forward_property(directive, line, made, problems)
    return Forward(zones_of(directive.words[1:2])[0], tuple(servers), **made)  # type: ignore[arg-type]


def _forward_property(directive: Directive, line: Line, made: dict[str, object], problems: Problems) -> None:
    where, (name, *words) = place_of(directive, line), line.words
    match name:
        case "max_concurrent" | "max_fails":
            made[name] = number(where, words[:1], problems, most=(1 << 32) - 1)
        case "policy":
            if words not in (["random"], ["round_robin"], ["sequential"]):
                problems.add(where, f"unknown policy '{' '.join(words)}'")
            made["policy"] = words[0] if words else "random"
        case "except":
            made["excepted"] = zones_of(words)
        case "force_tcp" | "prefer_udp":
            made[name] = True
        case "failfast_all_unhealthy_upstreams":
            made["fail_fast"] = True
        case "expire":  # nothing is kept open
            seconds(where, words[:1], problems)
        case "health_check":
            made["health_interval"] = max(0.01, seconds(where, words[:1], problems))
            made["health_recursive"] = "no_rec" not in words
            if "domain" in words[:-1]:
                made["health_domain"] = parse_name(words[words.index("domain") + 1])
        case "next" | "failover":
            codes = {text: code for code, text in RCODES.items()}
            if unknown := [word for word in words if word.upper() not in codes]:
                problems.add(where, f"{unknown[0]} is not a valid rcode")
            key = "next_on" if name == "next" else "failover"
            made[key] = frozenset(codes[word.upper()] for word in words if word.upper() in codes)
        case _:
            unknown_property(directive, line, problems)


def _server(word: str) -> tuple[str, int] | None:
    """`192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`, each after `dns://` or nothing."""
    word = word.removeprefix("dns://")
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d{1,5}))?", word)
    host, port = (bracketed[1], bracketed[2]) if bracketed else (word, None)
    if not bracketed and word.count(":") == 1:
        host, _, port = word.partition(":")
    try:
        ipaddress.ip_address(host)
        return host, int(port or 53)
    except ValueError:
        return None


def read_resolv_conf(path: Path) -> list[tuple[str, int]]:
    """The name servers of a resolv.conf; none when there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(words[1], 53) for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]


def cache(directive: Directive, block: Zones, problems: Problems) -> Cache:
    words = directive.words[1:]
    most: int | None = None
    if words and words[0].isdecimal():
        most = number(place_of(directive), words[:1], problems, most=1 << 31, least=1)
        words = words[1:]
    keep = {
        "success": Keep(most=3600 if most is None else most), "denial": Keep(most=1800 if most is None else most)
    }  # fmt: skip
    made: dict[str, object] = {}
    for line in directive.block:
        where, (name, *rest) = place_of(directive, line), line.words
        match name:
            case "success" | "denial":
                given = [number(where, [word], problems, most=1 << 31) for word in rest[:3]]
                usual = keep[name]
                keep[name] = Keep(*given, *(usual.capacity, usual.most, usual.least)[len(given) :])
            case "prefetch":
                made["prefetch"] = _prefetch(where, rest, problems)
            case "serve_stale":
                made["stale"] = seconds(where, rest[:1], problems) if rest else 3600.0
                if rest[1:2] not in ([], ["verify"], ["immediate"]):
                    problems.add(where, f"invalid value for serve_stale refresh mode: {rest[1]}")
                made["verify"] = rest[1:2] == ["verify"]
            case "servfail":
                made["servfail"] = int(seconds(where, rest[:1], problems))
            case "disable" if rest[:1] in (["success"], ["denial"]):
                made[f"no_{rest[0]}"] = tuple(parse_name(word) for word in rest[1:]) or (ROOT,)
            case "keepttl":
                made["keep_ttl"] = True
            case _:
                wrong_word(directive, line, problems)
    zones = zones_of(words) or block
    return Cache(zones, keep["success"], keep["denial"], **made)  # type: ignore[arg-type]


def _prefetch(where: str, words: list[str], problems: Problems) -> Prefetch:
    amount = number(where, words[:1], problems, most=1 << 31)
    gap = seconds(where, words[1:2], problems) if len(words) > 1 else 60.0
    percent = 10
    if len(words) > 2:
        if not words[2].endswith("%"):
            problems.add(where, "last character of percentage should be `%`, but is: " + repr(words[2][-1:]))
        percent = number(where, [words[2].rstrip("%")], problems, most=90, least=10)
    return Prefetch(amount, gap, percent)


def hosts(directive: Directive, block: Zones, problems: Problems) -> Hosts:
    words = directive.words[1:]
    made: dict[str, object] = {}
    inline = []
    for line in directive.block:
        where, (name, *rest) = place_of(directive, line), line.words
        match name:
            case "ttl":
                made["ttl"] = number(where, rest[:1], problems, most=65535, least=1)
            case "reload":
                made["reload"] = seconds(where, rest[:1], problems)
            case "no_reverse":
                made["reverse"] = False
            case "fallthrough":
                made["through"] = _through(line.words)
            case _ if made.get("through"):
                unknown_property(directive, line, problems)
            case _:
                # CoreDNS: a line of hosts, also when it is none; but none comes after `fallthrough`.
                inline.append(tuple(line.words))
    zones = zones_of(words[1:]) or block
    # Without a file and without lines it is the machine's own.
    file = Path(words[0]) if words else None if inline else Path("/etc/hosts")
    return Hosts(file, tuple(inline), zones, **made)  # type: ignore[arg-type]


def rewrite(directive: Directive, problems: Problems) -> list[Rewrite]:
    words = directive.words[1:]
    stop = True
    if words and words[0] in ("stop", "continue"):
        stop, words = words[0] == "stop", words[1:]
    said = [word for line in directive.block for word in line.words]
    try:
        return [rewrite_rules.parse(words + said, stop)]
    except ValueError as error:
        problems.add(place_of(directive), str(error))
        return []


def _through(words: list[str]) -> Zones:
    return zones_of(words[1:]) or (ROOT,)
