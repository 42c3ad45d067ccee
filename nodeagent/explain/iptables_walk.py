"""A packet walked through the chains of iptables, as ip_tables does it (iptables-extensions(8)). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .iptables_rules import Chain, Option, Rule, program
from .packet import UNTRACKED
from .verdicts import ACCEPT, DROP, REJECT, RETURN, Around, Hit, Verdict, in_network, split_endpoint

_MAX_DEPTH = 64
_PASS = frozenset((
    "LOG", "NFLOG", "ULOG", "TRACE", "CONNMARK", "CONNSECMARK", "TCPMSS", "CHECKSUM", "DSCP", "TOS", "SET",
))  # fmt: skip


def walk_chain(table: str, chains: Mapping[str, Chain], name: str, around: Around) -> Verdict:
    """The verdict of one of the kernel's own chains: of a rule, or its policy. Packet and hits are changed in place."""
    verdict = _walk(table, chains, name, around, 0)
    if verdict.kind != RETURN:
        return verdict
    chain = chains[name]
    if chain.policy == "DROP":
        hit = Hit(f"{table} {name} policy", "policy DROP", _shown(around, table, name), chain.packets)
        return Verdict(DROP, by=hit)
    return Verdict(ACCEPT)


def _walk(table: str, chains: Mapping[str, Chain], name: str, around: Around, depth: int) -> Verdict:
    if depth > _MAX_DEPTH or name not in chains:
        return Verdict(RETURN)
    for rule in chains[name].rules:
        matched = matches(rule, around)
        hit = Hit(
            f"{table} {name} {rule.number}", rule.short, _shown(around, table, f"{name} {rule.number}"),
            rule.packets, rule.comment,
        )  # fmt: skip
        if matched is None:
            around.doubts.append(hit)
        if not matched:
            continue
        shown, before = len(around.hits), around.packet.copy()
        around.hits.append(hit)
        if rule.target in chains:
            verdict = _walk(table, chains, rule.target, around, depth + 1)
            if verdict.kind == RETURN and around.packet == before:
                del around.hits[shown:]  # it came to nothing
            if verdict.kind != RETURN or rule.goto:
                return verdict
            continue
        if (decided := _apply(rule, around, hit)) is not None:
            return decided
    return Verdict(RETURN)


def _shown(around: Around, table: str, what: str) -> str:
    """The command that shows a chain, or a rule of it."""
    return f"{program(6 if ':' in around.packet.dst else 4)} -t {table} -L {what} -n -v"


def _apply(rule: Rule, around: Around, hit: Hit) -> Verdict | None:
    packet, options = around.packet, rule.options
    match rule.target:
        case "ACCEPT":
            return Verdict(ACCEPT, by=hit)
        case "DROP":
            return Verdict(DROP, by=hit)
        case "REJECT":
            return Verdict(REJECT, _text(options, "--reject-with") or "icmp-port-unreachable", hit)
        case "RETURN":
            return Verdict(RETURN)
        case "MARK":
            packet.mark = _marked(packet.mark, options)
        case "NOTRACK" | "CT":
            if rule.target == "NOTRACK" or "--notrack" in options:
                packet.state = UNTRACKED
        case "DNAT":
            ip, port = split_endpoint(_text(options, "--to-destination"))
            packet.dst, packet.dport, packet.dnat = ip or packet.dst, port or packet.dport, True
            return Verdict(ACCEPT, by=hit)
        case "REDIRECT":
            packet.dst = around.own_address(packet.iif) if packet.iif else "127.0.0.1"
            packet.dport = split_endpoint(":" + _text(options, "--to-ports"))[1] or packet.dport
            packet.dnat = True
            return Verdict(ACCEPT, by=hit)
        case "SNAT" | "MASQUERADE":
            if rule.target == "SNAT":
                packet.src = split_endpoint(_text(options, "--to-source"))[0] or packet.src
            else:
                packet.src = around.own_address(packet.oif) or packet.src
            packet.snat = True
            return Verdict(ACCEPT, by=hit)
        case target if target and target not in _PASS:
            around.doubts.append(hit)
    return None


def _marked(mark: int, options: Mapping[str, Option]) -> int:
    for name in ("--set-xmark", "--set-mark"):
        if name in options:
            value, _, mask = options[name].value.partition("/")
            wiped, number = int(mask or "0xffffffff", 0), int(value, 0)
            # --set-xmark flips, --set-mark sets (xt_mark.c); with every bit wiped they are the same.
            return (mark & ~wiped) ^ number if name == "--set-xmark" else (mark & ~wiped) | number
    if "--or-mark" in options:
        return mark | int(options["--or-mark"].value, 0)
    if "--and-mark" in options:
        return mark & int(options["--and-mark"].value, 0)
    if "--xor-mark" in options:
        return mark ^ int(options["--xor-mark"].value, 0)
    return mark


def matches(rule: Rule, around: Around) -> bool | None:
    """None where only the kernel knows. A rule of which a part does not match does not, whatever the rest."""
    doubtful = rule.repeated
    for name, option in rule.options.items():
        if name in _IGNORED:
            continue
        judged = _judge(name, option, rule, around)
        if judged is None:
            doubtful = True
        elif judged == option.negated:
            return False
    if doubtful:
        return None
    if "statistic" in rule.modules:
        return _chance(rule, around)
    return True


# Parts of others, or of targets.
_IGNORED = frozenset((
    "--comment", "--seconds", "--hitcount", "--reap", "--rsource", "--rdest", "--mask", "--mode", "--probability",
    "--every", "--packet", "--name", "--to-destination", "--to-source", "--to-ports", "--random", "--random-fully",
    "--persistent", "--reject-with", "--set-xmark", "--set-mark", "--or-mark", "--and-mark", "--xor-mark",
    "--log-prefix", "--log-level", "--nflog-group", "--nflog-prefix", "--notrack", "--limit-burst", "--rttl",
    "--limit-iface-in", "--limit-iface-out", "--set-mss", "--clamp-mss-to-pmtu", "--zone", "--save-mark",
    "--restore-mark", "--nfmask", "--ctmask",
))  # fmt: skip


def _judge(name: str, option: Option, rule: Rule, around: Around) -> bool | None:
    packet, value = around.packet, option.value
    match name:
        case "-s" | "-d":
            return any(in_network(packet.src if name == "-s" else packet.dst, one) for one in value.split(","))
        case "-i" | "-o":
            return _interface(packet.iif if name == "-i" else packet.oif, value)
        case "--physdev-in" | "--physdev-out":
            return _interface(around.physical_in if name == "--physdev-in" else around.physical_out, value)
        case "--physdev-is-bridged":
            return bool(around.physical_in and around.physical_out)
        case "-p":
            return value in (packet.protocol, "all") or value == _NUMBERS.get(packet.protocol)
        case "--dport" | "--dports":
            return _port(packet.dport, value)
        case "--sport" | "--sports":
            return _port(packet.sport, value) if packet.sport else None
        case "--ports":
            return _port(packet.dport, value) or (_port(packet.sport, value) if packet.sport else None)
        case "--src-type" | "--dst-type":
            kind = around.type_of(packet.src if name == "--src-type" else packet.dst)
            return kind.upper() in value.split(",")
        case "--ctstate" | "--state":
            said = value.split(",")
            return packet.state in said or (packet.dnat and "DNAT" in said) or (packet.snat and "SNAT" in said)
        case "--mark":
            number, _, mask = value.partition("/")
            return packet.mark & int(mask or "0xffffffff", 0) == int(number, 0)
        case "--rcheck" | "--update":
            return packet.src in around.recent.get(_text(rule.options, "--name"), frozenset())
        case "--set" | "--remove":
            return True if "recent" in rule.modules else None
        case "--limit":
            return True  # one packet, now and then
        case "--syn":
            return packet.protocol == "tcp" and not packet.reply
    return None


def _chance(rule: Rule, around: Around) -> bool:
    options = rule.options
    if "--probability" in options:
        chance = float(options["--probability"].value)
        if options["--probability"].negated:
            chance = 1 - chance
    else:
        chance = 1 / max(1, int(_text(options, "--every") or "1"))
    return around.chooser.pick((chance, 1 - chance)) == 0


_NUMBERS = {"tcp": "6", "udp": "17", "sctp": "132", "icmp": "1"}


def _text(options: Mapping[str, Option], name: str) -> str:
    return options[name].value if name in options else ""


def _interface(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _port(port: int, value: str) -> bool:
    for part in value.split(","):
        first, colon, last = part.partition(":")
        if not colon:
            if part.isdigit() and port == int(part):
                return True
        elif int(first or 0) <= port <= int(last or 65535):
            return True
    return False
