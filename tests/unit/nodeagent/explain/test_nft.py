"""Rules of nf_tables as `nft -j` prints them; packets through them."""

from typing import Any

import pytest

from nodeagent.explain.choices import Chooser
from nodeagent.explain.nft_rules import NftTables, parse_nft
from nodeagent.explain.nft_walk import walk_base
from nodeagent.explain.packet import ESTABLISHED, Packet
from nodeagent.explain.verdicts import Around, Verdict

TABLE = {"family": "inet", "table": "t"}
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
DADDR = {"payload": {"protocol": "ip", "field": "daddr"}}
DPORT = {"payload": {"protocol": "th", "field": "dport"}}
L4 = {"meta": {"key": "l4proto"}}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def ruleset(rules: dict[str, list[list[Any]]], **sets: Any) -> NftTables:
    """rules: by chain; `base` is at the hook forward."""
    entries: list[dict[str, Any]] = [{"metainfo": {}}]
    for name in rules:
        hook = {"type": "filter", "hook": "forward", "prio": -5, "policy": "accept"} if name == "base" else {}
        entries.append({"chain": {**TABLE, "name": name, **hook}})
    entries += [{"set": {**TABLE, "name": name, "elem": elements}} for name, elements in sets.items()]
    for name, said in rules.items():
        entries += [
            {"rule": {**TABLE, "chain": name, "handle": number, "comment": f"{name} {number}", "expr": one}}
            for number, one in enumerate(said)
        ]
    return parse_nft({"nftables": entries}, "", 4)


def walk(nft: NftTables, *told: int, **said: Any) -> tuple[Verdict, Around]:
    fields = {"src": "10.244.0.2", "dst": "10.96.0.10", "protocol": "tcp", "dport": 80, **said}
    seen = Around(Packet(**fields), Chooser(told), lambda ip: "local" if ip == "192.0.2.1" else "unicast", lambda _: "")
    return walk_base(nft, nft.chains[("inet", "t"), "base"], seen), seen


DROP, ACCEPT, RETURN = {"drop": None}, {"accept": None}, {"return": None}


@pytest.mark.parametrize(
    ("rule", "said", "dropped"),
    [
        ([match(SADDR, "10.244.0.2")], {}, True),
        ([match(SADDR, "@peers")], {}, True),
        ([match(SADDR, "@peers")], {"src": "10.1.0.1"}, False),
        ([match(DADDR, {"prefix": {"addr": "10.96.0.0", "len": 12}}, "!=")], {}, False),
        ([match({"payload": {"protocol": "tcp", "field": "dport"}}, {"set": [9, {"range": [80, 90]}]})], {}, True),
        ([match({"payload": {"protocol": "udp", "field": "dport"}}, 80)], {}, False),
        ([match({"concat": [DADDR, L4, DPORT]}, "@triples")], {}, True),
        ([match({"concat": [DADDR, L4, DPORT]}, "@triples")], {"dport": 81}, False),
        ([match({"ct": {"key": "state"}}, ["established", "related"], "in")], {"state": ESTABLISHED}, True),
        ([match({"ct": {"key": "state"}}, "invalid", "in")], {}, False),
        ([match({"ct": {"key": "status"}}, "dnat", "in")], {"dnat": True}, True),
        ([match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")], {"dst": "192.0.2.1"}, True),
        ([match({"&": [{"meta": {"key": "mark"}}, 0x4000]}, 0)], {"mark": 0x4000}, False),
        ([match({"meta": {"key": "iifname"}}, "veth*")], {"iif": "veth7"}, True),
        ([match({"payload": {"protocol": "ip6", "field": "saddr"}}, "fd00::1")], {}, False),
    ],
)
def test_matches(rule: list[Any], said: dict[str, Any], dropped: bool) -> None:
    sets = {
        "peers": ["1.2.3.4", {"prefix": {"addr": "10.244.0.0", "len": 16}}],
        "triples": [{"concat": ["10.96.0.10", "tcp", 80]}],
    }
    verdict, _ = walk(ruleset({"base": [[*rule, DROP]]}, **sets), **said)
    assert (verdict.kind == "drop") is dropped


def test_a_map_leads_to_a_chain_and_what_it_returns_from_goes_on() -> None:
    vmap = {"vmap": {"key": DADDR, "data": "@pods"}}
    pods = [["10.96.0.10", {"jump": {"target": "ingress"}}]]
    nft = ruleset({"base": [[vmap], [ACCEPT]], "ingress": [[match(SADDR, "10.0.0.1"), RETURN], [DROP]]}, pods=pods)
    assert walk(nft)[0].kind == "drop"
    assert walk(nft, src="10.0.0.1")[0].kind == "accept"
    assert walk(nft, dst="10.96.0.11")[0].kind == "accept"
    verdict, seen = walk(nft)
    assert verdict.by is not None
    assert (verdict.by.place, [hit.comment for hit in seen.hits]) == (
        "inet t ingress handle 1", ["base 0", "ingress 1"]
    )  # fmt: skip


def test_a_service_chain_chooses_among_its_endpoints() -> None:
    chains = {"set": [[number, {"goto": {"target": f"ep{number}"}}] for number in range(2)]}
    choice = {"vmap": {"key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}}, "data": chains}}
    nat = [{"dnat": {"family": "ip", "addr": f"10.244.{number}.2", "port": 8080}} for number in range(2)]
    nft = ruleset({"base": [[choice]], "ep0": [[nat[0]]], "ep1": [[match(L4, "tcp"), nat[1]]]})
    _, seen = walk(nft)
    assert (seen.packet.dst, seen.packet.dport, seen.chooser.offered) == ("10.244.0.2", 8080, [[0.5, 0.5]])
    assert walk(nft, 1)[1].packet.dst == "10.244.1.2"


def test_elements_with_comments_and_values_of_maps() -> None:
    elements = [[{"elem": {"val": {"concat": ["10.96.0.10", 80]}, "comment": "x"}}, {"concat": ["10.244.0.9", 81]}]]
    nat = {"dnat": {"family": "ip", "addr": {"map": {"key": {"concat": [DADDR, DPORT]}, "data": "@eps"}}}}
    nft = ruleset({"base": [[nat]]}, eps=elements)
    assert walk(nft)[1].packet.flow == ("tcp", "10.244.0.2", 0, "10.244.0.9", 81)


def test_marks_refusals_and_doubts() -> None:
    mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 0x4000]}}}
    nft = ruleset(
        {"base": [[mark], [match({"meta": {"key": "cgroup"}}, 1), DROP], [{"reject": {"type": "tcp reset"}}]]}
    )
    verdict, seen = walk(nft, mark=1)
    assert (verdict.kind, verdict.how, seen.packet.mark) == ("reject", "tcp-reset", 0x4001)
    assert [hit.comment for hit in seen.doubts] == ["base 1"]


def test_tables_of_iptables_and_of_the_other_family_are_left_out() -> None:
    chain = {"name": "PREROUTING", "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"}
    found = parse_nft({"nftables": [
        {"chain": {"family": "ip", "table": "nat", **chain}},
        {"chain": {"family": "ip6", "table": "mine", **chain}},
        {"chain": {"family": "ip", "table": "mine", **chain}},
    ]}, "", 4)  # fmt: skip
    assert found.tables == {("ip", "mine")}
