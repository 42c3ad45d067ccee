"""Putting together, comparing and writing: a model of iptables-restore shows that a difference does what it says."""

import asyncio
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from apimachinery.cache.lister import Lister
from apimachinery.kit.clock import ManualClock
from nodeagent.proxy.iptables import names
from nodeagent.proxy.iptables.plan import PortPlan, plan_port
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.iptables.ruleset import JUMPS, Ruleset, assemble, diff, render
from nodeagent.proxy.iptables.saved import SavedTable, is_whole, parse, plan_whole, render_cleanup
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.planned import Planned, ServicePorts
from nodeagent.proxy.proxier import SLICES_OF_SERVICE, Proxier
from nodeagent.proxy.services import Endpoint, ServicePort

Kernel = dict[str, dict[str, list[str]]]
BUILTIN = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}


def empty_kernel() -> Kernel:
    return {table: {chain: [] for chain in chains} for table, chains in BUILTIN.items()}


def restore(kernel: Kernel, text: str) -> None:
    """What iptables-restore --noflush does with such input; refuses what iptables would refuse."""
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = kernel[line[1:]]
        elif line.startswith(":"):
            table[line[1:].split()[0]] = []
        elif line.startswith("-X "):
            chain = line[3:]
            assert table.pop(chain) == [], "not empty"
            assert not any(rule.endswith(f"-j {chain}") for rules in table.values() for rule in rules), "still used"
        elif line.startswith(("-A ", "-I ", "-D ")):
            chain, rule = line[3:].split(" ", 1)
            target = rule.split("-j ")[-1].split()[0] if "-j " in rule else ""
            assert target in table or not target.startswith("KUBE"), f"no chain {target}"
            if line.startswith("-D "):
                table[chain].remove(rule)
            else:
                table[chain].insert(0 if line.startswith("-I ") else len(table[chain]), rule)
        else:
            assert line == "COMMIT", line


def save(kernel: Kernel) -> str:
    lines: list[str] = []
    for table, chains in kernel.items():
        lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
        lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules]
        lines.append("COMMIT")
    return "\n".join(lines)


PORTS = st.builds(
    lambda name, node_port, local, sticky: ServicePort(
        name=f"default/{name}", namespace="default", service=name, port_name="", protocol="tcp", cluster_ip="10.96.0.1",
        port=80, node_port=node_port, external_local=local, sticky_seconds=sticky,
    ),
    st.sampled_from("abcd"), st.sampled_from([0, 30080]), st.booleans(), st.sampled_from([0, 60]),
)  # fmt: skip
ENDPOINTS = st.builds(
    lambda number, ready, local: Endpoint(f"10.244.0.{number}", 80, ready, ready, False, local),
    st.integers(1, 4), st.booleans(), st.booleans(),
)  # fmt: skip
STATES = st.lists(
    st.tuples(PORTS, st.lists(ENDPOINTS, max_size=3, unique_by=lambda one: one.ip)),
    max_size=4, unique_by=lambda pair: pair[0].name,
)  # fmt: skip


def ruleset(state: Iterable[tuple[ServicePort, list[Endpoint]]]) -> Ruleset:
    view = NodeView(cluster_cidr="10.244.0.0/16", pod_cidr="10.244.1.0/24")
    plans: list[PortPlan] = [plan_port(port, endpoints, view) for port, endpoints in state]
    return assemble(plans, Settings(), view)


@given(STATES, STATES)
def test_a_difference_leads_from_one_state_to_the_other(before: object, after: object) -> None:
    old, new = ruleset(before), ruleset(after)
    kernel = empty_kernel()
    restore(kernel, render(plan_whole(parse(save(kernel)), old)))
    assert is_whole(parse(save(kernel)), old)
    restore(kernel, render(diff(old, new)))
    fresh = empty_kernel()
    restore(fresh, render(plan_whole({}, new)))
    assert kernel == fresh
    assert is_whole(parse(save(kernel)), new)
    assert render(diff(new, new)) == ""


@given(STATES, STATES)
def test_everything_anew_over_whatever_is_there(before: object, after: object) -> None:
    kernel = empty_kernel()
    restore(kernel, render(plan_whole({}, ruleset(before))))
    new = ruleset(after)
    restore(kernel, render(plan_whole(parse(save(kernel)), new)))
    assert is_whole(parse(save(kernel)), new)
    for table, chains in BUILTIN.items():
        jumps = [jump for jump in JUMPS if jump.table == table]
        assert sum(len(kernel[table][chain]) for chain in chains) == len(jumps)


class Model:
    """The model as what the mode writes to."""

    def __init__(self) -> None:
        self.kernel = empty_kernel()

    async def save(self) -> dict[str, SavedTable]:
        return parse(save(self.kernel))

    async def restore(self, pieces: Iterable[str]) -> None:
        restore(self.kernel, "".join(pieces))

    def counts(self) -> dict[str, int]:
        return {
            table: sum(len(rules) for chain, rules in chains.items() if chain not in BUILTIN[table])
            for table, chains in self.kernel.items()
        }


@given(STATES, STATES)
def test_written_in_pieces_or_by_what_changed_it_is_the_same(before: object, after: object) -> None:
    async def write_all() -> None:
        old, new = ({port.name: [(port, behind)] for port, behind in state} for state in (before, after))  # type: ignore[attr-defined]
        view, kernel, fresh = NodeView(cluster_cidr="10.244.0.0/16"), Model(), Model()
        rules = IptablesRules(kernel, Settings())
        await rules.write(old, set(old), view)
        for held in (False, True):
            for state in (new, old):
                rules.holds = held
                await rules.write(state, {*old, *new}, view)
                assert await rules.is_whole()
                assert rules.counts() == kernel.counts()
                fresh.kernel = empty_kernel()
                await IptablesRules(fresh, Settings()).write(state, set(state), view)
                assert kernel.kernel == fresh.kernel

    asyncio.run(write_all())


def test_services_are_planned_when_the_command_has_started() -> None:
    async def write() -> None:
        asked = list[str]()

        def plan(key: str) -> ServicePorts:
            asked.append(key)
            return []

        planned = Planned(plan)
        planned.replace({"default/a", "default/b"}, set())

        class Started(Model):
            async def restore(self, pieces: Iterable[str]) -> None:
                assert asked == []
                await super().restore(pieces)

        await IptablesRules(Started(), Settings()).write(planned, set(planned), NodeView())
        assert asked == ["default/a", "default/b"]
        assert planned.replace({"default/a"}, {"default/b"}) == {} and [*planned] == ["default/a"]

    asyncio.run(write())


@given(STATES)
def test_cleanup_leaves_what_was_there_before(state: object) -> None:
    kernel = empty_kernel()
    kernel["nat"]["PREROUTING"].append("-p tcp -j MINE")
    kernel["nat"]["MINE"] = ["-j RETURN"]
    restore(kernel, render(plan_whole(parse(save(kernel)), ruleset(state))))
    restore(kernel, render_cleanup(parse(save(kernel))))
    expected = empty_kernel()
    expected["nat"]["PREROUTING"].append("-p tcp -j MINE")
    expected["nat"]["MINE"] = ["-j RETURN"]
    assert kernel == expected


def test_the_node_port_jump_is_last() -> None:
    port = ServicePort("a/b", "a", "b", "", "tcp", "10.96.0.1", 80)
    rules = ruleset([(port, [Endpoint("10.244.0.1", 80, True, True, False, False)])])
    assert rules.nat[names.SERVICES][-1].endswith("-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")


def test_mark_is_written_as_upstream_writes_it() -> None:
    assert Settings().mark == "0x00004000"


def test_node_ports_answer_on_loopback_only_where_packets_from_there_get_out() -> None:
    view = NodeView(chosen_addresses=("127.0.0.1", "192.0.2.1"))
    six = NodeView(chosen_addresses=("2001:db8::1", "::1"))
    for settings, seen, expected in (
        (Settings(), view, ["127.0.0.1", "192.0.2.1"]),
        (Settings(localhost_node_ports=False), view, ["192.0.2.1"]),
        (Settings(family=6), six, ["2001:db8::1"]),
    ):
        jumps = assemble([], settings, seen).nat[names.SERVICES]
        assert [jump.split(" -d ")[1].split()[0] for jump in jumps] == expected
        assert settings.answering(seen) == seen.chosen_addresses  # health checks are nobody's packets to translate


async def test_an_address_that_the_machine_gets_later_is_answered_on() -> None:
    slices, kernel, held = Lister(), Model(), ["192.0.2.1"]
    slices.add_index(SLICES_OF_SERVICE, lambda _: ())
    rules, settings = IptablesRules(kernel, Settings()), Settings()
    proxier = Proxier(
        "node-1", Lister(), slices, rules, 4, NodeView(), ManualClock(), lambda _: 0, None, settings.answering,
        lambda: tuple(held),
    )  # fmt: skip
    await proxier.sync()
    assert await proxier.verify()
    held.append("192.0.2.2")
    assert not await proxier.verify()
    await proxier.sync()
    assert await proxier.verify()
    assert [rule.split(" -d ")[1].split()[0] for rule in kernel.kernel["nat"][names.SERVICES]] == held
    assert proxier.health_check_hosts() == tuple(held)
