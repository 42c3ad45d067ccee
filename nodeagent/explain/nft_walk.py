"""A packet walked through chains of nf_tables, expression by expression (libnftables-json(5)). Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from .nft_rules import Json, NftChain, NftTables, TableKey
from .packet import UNTRACKED
from .verdicts import ACCEPT, DROP, REJECT, RETURN, Around, Hit, Verdict, in_network

_MAX_DEPTH = 16  # NFT_JUMP_STACK_SIZE
_PASS = frozenset(("counter", "log", "comment", "limit", "quota", "set", "meter", "flow", "last"))
_COUNTER = re.compile(r"counter packets \d+ bytes \d+ ?")
_ALONE = frozenset(("accept", "drop", "return", "continue"))


class Unknown(Exception):
    """An expression that only the kernel can evaluate."""


def walk_base(nft: NftTables, chain: NftChain, around: Around) -> Verdict:
    """The verdict of a base chain: of a rule, or its policy. Packet and hits are changed in place."""
    verdict = _Walk(nft, chain.table, around).chain(chain.name, 0)
    if verdict.kind != RETURN:
        return verdict
    if chain.policy == "drop":
        family, table = chain.table
        command = f"nft list chain {family} {table} {chain.name}"
        return Verdict(DROP, by=Hit(f"{family} {table} {chain.name} policy", "policy drop", command, ""))
    return Verdict(ACCEPT)


class _Walk:
    def __init__(self, nft: NftTables, table: TableKey, around: Around) -> None:
        self._nft, self._table, self._around = nft, table, around

    def chain(self, name: str, depth: int) -> Verdict:
        chain = self._nft.chains.get((self._table, name))
        if chain is None or depth > _MAX_DEPTH:
            return Verdict(RETURN)
        for rule in chain.rules:
            hit = self._hit(name, rule)
            try:
                verdict = self._rule(rule, hit, depth)
            except Unknown:
                self._around.doubts.append(hit)
                continue
            if verdict is not None:
                return verdict
        return Verdict(RETURN)

    def _hit(self, chain: str, rule: Json) -> Hit:
        family, table = self._table
        handle = int(rule.get("handle", 0))
        comment = str(rule.get("comment", ""))
        text = _short(self._nft.texts.get((self._table, chain, handle), ""), comment)
        counters = next((one["counter"] for one in rule["expr"] if isinstance(one.get("counter"), dict)), None)
        shown = f"{counters.get('packets', 0)}:{counters.get('bytes', 0)}" if counters else ""
        command = f"nft -a list chain {family} {table} {chain}"
        return Hit(f"{family} {table} {chain} handle {handle}", text, command, shown, comment)

    def _rule(self, rule: Json, hit: Hit, depth: int) -> Verdict | None:
        """None: go on with the next rule."""
        matched = False
        for statement in rule["expr"]:
            ((kind, body),) = statement.items()
            if kind == "match":
                if not self._matches(body):
                    return None
                continue
            if kind in _PASS:
                continue
            if kind == "vmap":
                found = self._lookup(self.value(body["key"]), body["data"])
                if found is None:
                    return None
                ((kind, body),) = found.items()
            if not matched:
                self._around.hits.append(hit)
                matched = True
            verdict = self._act(kind, body, hit, depth)
            if verdict is not None:
                return verdict
        if not matched:
            self._around.hits.append(hit)
        return None

    def _act(self, kind: str, body: Any, hit: Hit, depth: int) -> Verdict | None:
        packet = self._around.packet
        if kind in _ALONE:
            return None if kind == "continue" else Verdict(kind, by=hit)
        if kind in ("jump", "goto"):
            shown, before = len(self._around.hits) - 1, packet.copy()
            verdict = self.chain(str(body["target"]), depth + 1)
            if verdict.kind == RETURN and packet == before:
                del self._around.hits[shown:]  # it came to nothing
            return verdict if verdict.kind != RETURN or kind == "goto" else None
        if kind == "reject":
            return Verdict(REJECT, _refusal(body), hit)
        if kind == "notrack":
            packet.state = UNTRACKED
        elif kind == "mangle":
            self._mangle(body)
        elif kind in ("dnat", "snat", "masquerade", "redirect"):
            self._translate(kind, body or {})
            return Verdict(ACCEPT, by=hit)
        else:
            raise Unknown(kind)
        return None

    def _mangle(self, body: Json) -> None:
        if body["key"] == {"meta": {"key": "mark"}}:
            self._around.packet.mark = int(self.value(body["value"]))

    def _translate(self, kind: str, body: Json) -> None:
        packet = self._around.packet
        if kind == "masquerade":
            packet.src, packet.snat = self._around.own_address(packet.oif) or packet.src, True
            return
        address = self.value(body["addr"]) if "addr" in body else ""
        port = int(self.value(body["port"])) if "port" in body else 0
        if isinstance(address, tuple):
            address, port = str(address[0]), int(address[1])
        if kind == "snat":
            packet.src, packet.snat = str(address) or packet.src, True
            return
        if kind == "redirect":
            address = self._around.own_address(packet.iif) if packet.iif else "127.0.0.1"
        packet.dst, packet.dport, packet.dnat = str(address) or packet.dst, port or packet.dport, True

    def _matches(self, body: Json) -> bool:
        operator, left, right = body.get("op", "=="), self.value(body["left"]), body["right"]
        if operator == "in" and not isinstance(left, tuple):
            # Flags, of which the packet has one or more: `ct state new,established`, `ct status dnat`.
            wanted = right.get("set") if isinstance(right, dict) and "set" in right else right
            have = left if isinstance(left, frozenset) else {left}
            return bool(have & set(wanted if isinstance(wanted, list) else [wanted]))
        if isinstance(left, frozenset):
            wanted = right.get("set") if isinstance(right, dict) and "set" in right else right
            inside = bool(left & set(wanted if isinstance(wanted, list) else [wanted]))
        elif operator in ("<", ">", "<=", ">="):
            number = int(self.value(right))
            return bool({"<": left < number, ">": left > number, "<=": left <= number, ">=": left >= number}[operator])
        else:
            inside = self._within(left, right)
        return bool(inside != (operator == "!="))

    def _within(self, value: Any, right: Any) -> bool:
        if isinstance(right, str) and right.startswith("@"):
            return any(_fits(value, element) for element in self._set(right))
        if isinstance(right, dict) and "set" in right:
            return any(_fits(value, element) for element in right["set"])
        return _fits(value, right)

    def _set(self, name: str) -> Sequence[Any]:
        return self._nft.sets.get((self._table, name.removeprefix("@")), ())

    def _lookup(self, key: Any, data: Any) -> Any:
        """The value of a map, None where the key is not in it."""
        if isinstance(data, str):
            elements = self._set(data)
        elif isinstance(data, dict) and "set" in data:
            elements = data["set"]
        else:
            raise Unknown(str(data))
        return next((value for element, value in elements if _fits(key, element)), None)

    def value(self, expression: Any) -> Any:
        """Addresses and names as text, numbers as int, concatenations as tuple, flags as frozenset."""
        if not isinstance(expression, dict):
            return expression
        ((kind, body),) = expression.items()
        match kind:
            case "payload":
                return self._payload(body)
            case "meta":
                return self._meta(str(body["key"]))
            case "ct":
                return self._tracked(str(body["key"]))
            case "concat":
                return tuple(self.value(one) for one in body)
            case "fib":
                if body.get("result") != "type":
                    raise Unknown("fib")
                packet = self._around.packet
                return self._around.type_of(packet.src if "saddr" in body["flags"] else packet.dst)
            case "numgen" | "jhash" | "symhash":
                modulus = int(body["mod"])
                return self._around.chooser.pick([1 / modulus] * modulus) + int(body.get("offset") or 0)
            case "map":
                found = self._lookup(self.value(body["key"]), body["data"])
                if found is None:
                    raise Unknown("map")
                return self.value(found)
            case "&" | "|" | "^":
                one, other = (int(self.value(part)) for part in body)
                return one & other if kind == "&" else one | other if kind == "|" else one ^ other
            case "elem":
                return self.value(body["val"])
        raise Unknown(kind)

    def _payload(self, body: Json) -> Any:
        packet, field = self._around.packet, str(body.get("field", ""))
        protocol = str(body.get("protocol", ""))
        if protocol in ("ip", "ip6"):
            if (":" in packet.dst) != (protocol == "ip6"):
                return None
            if field in ("saddr", "daddr"):
                return packet.src if field == "saddr" else packet.dst
            if field in ("protocol", "nexthdr"):
                return packet.protocol
        elif protocol in (packet.protocol, "th"):
            if field == "dport":
                return packet.dport
            if field == "sport" and packet.sport:
                return packet.sport
            if field == "flags" and protocol == "tcp":
                return frozenset(("syn", "ack")) if packet.reply else frozenset(("syn",))
        elif protocol in ("tcp", "udp", "sctp", "icmp", "icmpv6"):
            return None  # of another protocol than the packet's: never equal
        raise Unknown(f"{protocol} {field}")

    def _meta(self, key: str) -> Any:
        packet = self._around.packet
        values = {
            "l4proto": packet.protocol, "mark": packet.mark, "iifname": packet.iif, "oifname": packet.oif,
            "iif": packet.iif, "oif": packet.oif, "nfproto": "ipv6" if ":" in packet.dst else "ipv4",
            "protocol": "ip6" if ":" in packet.dst else "ip",
        }  # fmt: skip
        if key not in values:
            raise Unknown(f"meta {key}")
        return values[key]

    def _tracked(self, key: str) -> Any:
        packet = self._around.packet
        if key == "state":
            return frozenset((packet.state.lower(),))
        if key == "status":
            marks = (("dnat", packet.dnat), ("snat", packet.snat), ("seen-reply", packet.reply))
            return frozenset(name for name, is_set in marks if is_set)
        if key == "direction":
            return "reply" if packet.reply else "original"
        raise Unknown(f"ct {key}")


def _short(text: str, comment: str) -> str:
    """For people: without counters, which are shown apart, and with the comment behind."""
    words = text.replace(f'comment "{comment}"', "").strip()
    return f"{_COUNTER.sub('', words).strip()}  # {comment}" if comment else _COUNTER.sub("", words).strip()


def _fits(value: Any, element: Any) -> bool:
    """Whether a value is an element of a set, or equal to a literal."""
    if isinstance(element, dict):
        ((kind, body),) = element.items()
        if kind == "elem":
            return _fits(value, body["val"])
        if kind == "prefix":
            return isinstance(value, str) and in_network(value, f"{body['addr']}/{body['len']}")
        if kind == "range":
            return _between(value, body[0], body[1])
        if kind == "concat":
            return isinstance(value, tuple) and len(value) == len(body) and all(map(_fits, value, body))
        if kind == "set":
            return any(_fits(value, one) for one in body)
        raise Unknown(kind)
    if isinstance(value, frozenset):
        return bool(element in value)
    if isinstance(value, str) and isinstance(element, str) and element.endswith("*"):
        return value.startswith(element[:-1])
    return bool(value == element)


def _between(value: Any, first: Any, last: Any) -> bool:
    if isinstance(value, str) and isinstance(first, str):
        try:
            one, low, high = (ipaddress.ip_address(text) for text in (value, first, last))
        except ValueError:
            return False
        return one.version == low.version and int(low) <= int(one) <= int(high)
    return isinstance(value, int) and int(first) <= value <= int(last)


def _refusal(body: Json | None) -> str:
    said = body or {}
    if said.get("type") == "tcp reset":
        return "tcp-reset"
    return f"icmp-{said.get('expr', 'port-unreachable')}"
