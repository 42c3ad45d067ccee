"""iptables-save's text as rules; packets through them; rules in other words."""

import pytest

from nodeagent.explain.choices import Chooser
from nodeagent.explain.iptables_rules import parse_rule, parse_saved, same_rule
from nodeagent.explain.iptables_walk import matches, walk_chain
from nodeagent.explain.packet import ESTABLISHED, NEW, UNTRACKED, Packet
from nodeagent.explain.verdicts import Around, Verdict


def around(**said: object) -> Around:
    fields: dict[str, object] = {"src": "10.244.0.2", "dst": "10.96.0.10", "protocol": "tcp", "dport": 80, **said}
    packet = Packet(**fields)
    local = {"192.0.2.1", "127.0.0.1"}
    return Around(
        packet,
        Chooser(),
        lambda ip: "local" if ip in local else "unicast",
        lambda device: "192.0.2.1" if device == "up0" else "",
        {"KUBE-SEP-A": frozenset(("10.244.0.2",))},
    )


def walk(text: str, chain: str, seen: Around, table: str = "nat") -> Verdict:
    return walk_chain(table, parse_saved(text)[table], chain, seen)


SAVED = """\
*nat
:PREROUTING ACCEPT [5:300]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SEP-B - [0:0]
:KUBE-MARK-MASQ - [0:0]
[7:420] -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[3:180] -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "a/b cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
[0:0] -A KUBE-SVC-A ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
[0:0] -A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
[0:0] -A KUBE-SVC-A -j KUBE-SEP-B
[0:0] -A KUBE-SEP-A -s 10.244.0.2/32 -j KUBE-MARK-MASQ
[1:60] -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:8080
[0:0] -A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080
[0:0] -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
COMMIT
"""


def test_a_service_is_translated_and_marked_where_it_must_be() -> None:
    seen = around()
    assert walk(SAVED, "PREROUTING", seen).kind == "accept"
    assert (seen.packet.dst, seen.packet.dport, seen.packet.mark) == ("10.244.0.2", 8080, 0x4000)
    assert seen.chooser.offered == [(0.5, 0.5)]
    assert [hit.place for hit in seen.hits] == [
        "nat PREROUTING 1", "nat KUBE-SERVICES 1", "nat KUBE-SVC-A 2", "nat KUBE-SEP-A 1", "nat KUBE-MARK-MASQ 1",
        "nat KUBE-SEP-A 2",
    ]  # fmt: skip
    assert seen.hits[-1].counters == "1:60"


def test_chains_that_come_to_nothing_are_not_shown() -> None:
    seen = around(dport=81)
    assert walk(SAVED, "PREROUTING", seen).kind == "accept"
    assert seen.hits == []
    assert seen.packet == around(dport=81).packet


@pytest.mark.parametrize(
    ("rule", "said", "expected"),
    [
        ("-s 10.244.0.0/16", {}, True),
        ("! -s 10.244.0.0/16", {}, False),
        ("-p udp", {}, False),
        ("-p tcp -m tcp --dport 80:90", {"dport": 85}, True),
        ("-p tcp -m multiport --dports 1,80", {}, True),
        ("-p tcp -m multiport ! --dports 1,80", {}, False),
        ("-m addrtype --dst-type LOCAL", {"dst": "192.0.2.1"}, True),
        ("-m addrtype --src-type LOCAL", {}, False),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", {"state": ESTABLISHED}, True),
        ("-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT", {"dnat": True}, False),
        ("-m conntrack --ctstate INVALID", {"state": NEW}, False),
        ("-m mark --mark 0x4000/0x4000", {"mark": 0xC000}, True),
        ("-m mark ! --mark 0x4000/0x4000", {"mark": 0x4000}, False),
        ("-i veth+", {"iif": "veth1"}, True),
        ("-o up0", {"oif": "cni0"}, False),
        ("-m recent --rcheck --seconds 10 --reap --name KUBE-SEP-A --rsource", {}, True),
        ("-m recent --rcheck --seconds 10 --reap --name KUBE-SEP-B --rsource", {}, False),
        ("-m set --match-set blocked src", {}, None),
        ("-p udp -m set --match-set blocked src", {}, False),
        ("--sport 53", {"sport": 0}, None),
        ("--sport 53", {"sport": 53}, True),
    ],
)
def test_matches(rule: str, said: dict[str, object], expected: bool | None) -> None:
    assert matches(parse_rule(f"{rule} -j DROP"), around(**said)) is expected


def test_what_only_the_kernel_knows_is_a_doubt() -> None:
    text = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m set --match-set blocked src -j DROP\nCOMMIT\n"
    seen = around()
    assert walk(text, "FORWARD", seen, "filter").kind == "accept"
    assert [hit.place for hit in seen.doubts] == ["filter FORWARD 1"]


@pytest.mark.parametrize(
    ("rules", "kind", "how"),
    [
        ("", "drop", ""),
        ("-A FORWARD -j ACCEPT", "accept", ""),
        ("-A FORWARD -p tcp -j REJECT --reject-with tcp-reset", "reject", "tcp-reset"),
        ("-A FORWARD -j REJECT", "reject", "icmp-port-unreachable"),
        ("-A FORWARD -j A\n-A A -j RETURN\n-A A -j ACCEPT", "drop", ""),
        ("-A FORWARD -g A\n-A FORWARD -j ACCEPT\n-A A -p udp -j ACCEPT", "drop", ""),
        ("-A FORWARD -j A\n-A FORWARD -j ACCEPT\n-A A -j A", "accept", ""),
    ],
)
def test_verdicts(rules: str, kind: str, how: str) -> None:
    text = f"*filter\n:FORWARD DROP [9:540]\n:A - [0:0]\n{rules}\nCOMMIT\n"
    verdict = walk(text, "FORWARD", around(), "filter")
    assert (verdict.kind, verdict.how) == (kind, how)


def test_targets_that_change_the_packet() -> None:
    text = (
        "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MARK --set-xmark 0x4000/0x0\n-A POSTROUTING -j MASQUERADE\n"
    )
    seen = around(mark=0x4001, oif="up0")
    walk(text, "POSTROUTING", seen)
    assert (seen.packet.mark, seen.packet.src, seen.packet.snat) == (1, "192.0.2.1", True)
    raw = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j CT --notrack\n"
    seen = around()
    walk(raw, "PREROUTING", seen, "raw")
    assert seen.packet.state == UNTRACKED


@pytest.mark.parametrize(
    ("ours", "printed"),
    [
        ("-s 10.0.0.1 -j X", "-s 10.0.0.1/32 -j X"),
        ("-j MARK --or-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x4000"),
        ("-j MARK --xor-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x0"),
        ("-m mark ! --mark 0x00004000/0x00004000 -j RETURN", "-m mark ! --mark 0x4000/0x4000 -j RETURN"),
        ("-m statistic --mode random --probability 0.3333333333 -j X",
         "-m statistic --mode random --probability 0.33333333349 -j X"),
        ('-m comment --comment "a b" -m tcp -p tcp -j X', '-p tcp -m comment --comment "a b" -m tcp -j X'),
        ("-m recent --name X --rcheck --seconds 9 --reap -j X",
         "-m recent --rcheck --seconds 9 --reap --name X --mask 255.255.255.255 --rsource -j X"),
        ("-m conntrack --ctstate RELATED,NEW -j ACCEPT", "-m conntrack --ctstate NEW,RELATED -j ACCEPT"),
        ("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"),
    ],
)  # fmt: skip
def test_the_same_rule_in_other_words(ours: str, printed: str) -> None:
    assert same_rule(parse_rule(ours)) == same_rule(parse_rule(printed))


def test_other_rules_differ() -> None:
    texts = ("-s 10.0.0.1 -j X", "! -s 10.0.0.1 -j X", "-s 10.0.0.2 -j X", "-s 10.0.0.1 -j Y", "-j X")
    assert len({same_rule(parse_rule(text)) for text in texts}) == len(texts)
