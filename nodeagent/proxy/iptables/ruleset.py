"""All of our chains in both tables: put together, compared, written as input of iptables-restore. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.pieces import in_pieces

from . import names
from .plan import PortPlan, Rules

Chains = Mapping[str, Rules]
TABLES = ("filter", "nat")


@dataclass(frozen=True, slots=True)
class Jump:
    """A rule in a chain of the kernel's that leads into one of ours. Put first when it is missing."""

    table: str
    source: str
    target: str
    comment: str = ""
    new_only: bool = False

    def rule(self) -> str:
        state = "-m conntrack --ctstate NEW " if self.new_only else ""
        words = f'-m comment --comment "{self.comment}" ' if self.comment else ""
        return f"{state}{words}-j {self.target}"

    def is_in(self, line: str) -> bool:
        """Whether a line of iptables-save is this jump, in whatever order it prints the matches."""
        if not line.startswith(f"-A {self.source} ") or not line.endswith(f" -j {self.target}"):
            return False
        return f'"{self.comment}"' in line if self.comment else "--comment" not in line


_PORTALS, _VISIBLE = "kubernetes service portals", "kubernetes externally-visible service portals"
_BALANCER = "kubernetes load balancer firewall"
# Upstream's, in upstream's order: each is put in front of those before it.
JUMPS = (
    Jump("filter", "INPUT", names.EXTERNAL_SERVICES, _VISIBLE, new_only=True),
    Jump("filter", "FORWARD", names.EXTERNAL_SERVICES, _VISIBLE, new_only=True),
    Jump("filter", "INPUT", names.NODEPORTS, "kubernetes health check service ports"),
    Jump("filter", "FORWARD", names.SERVICES, _PORTALS, new_only=True),
    Jump("filter", "OUTPUT", names.SERVICES, _PORTALS, new_only=True),
    Jump("filter", "FORWARD", names.FORWARD, "kubernetes forwarding rules"),
    Jump("filter", "INPUT", names.PROXY_FIREWALL, _BALANCER, new_only=True),
    Jump("filter", "OUTPUT", names.PROXY_FIREWALL, _BALANCER, new_only=True),
    Jump("filter", "FORWARD", names.PROXY_FIREWALL, _BALANCER, new_only=True),
    Jump("nat", "OUTPUT", names.SERVICES, _PORTALS),
    Jump("nat", "PREROUTING", names.SERVICES, _PORTALS),
    Jump("nat", "POSTROUTING", names.POSTROUTING, "kubernetes postrouting rules"),
    Jump("nat", "POSTROUTING", names.POD_MASQUERADE, "pod traffic leaving the pod network"),
    Jump("filter", "INPUT", names.FIREWALL),
    Jump("filter", "OUTPUT", names.FIREWALL),
)
SHARED = frozenset(jump.target for jump in JUMPS) | {names.MARK_MASQ}


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Every chain of ours with its rules, by table."""

    filter: Chains
    nat: Chains

    def table(self, name: str) -> Chains:
        return self.filter if name == "filter" else self.nat


@dataclass(slots=True)
class TableChange:
    """Chains to write whole, chains to delete, jumps to put in; of one table."""

    write: Mapping[str, Rules] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    jumps: list[Jump] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.write or self.delete or self.jumps)


Change = dict[str, TableChange]
_NONE_BEGUN: Mapping[str, int] = {}


def shared_chains(plans: Iterable[PortPlan], settings: Settings, node: NodeView) -> Ruleset:
    """The chains that hold rules of every service, or of none; cost grows with the number of plans."""
    nat_services: list[str] = []
    nat_nodeports: list[str] = []
    services: list[str] = []
    external: list[str] = []
    nodeports: list[str] = []
    firewall: list[str] = []
    for plan in plans:
        nat_services += plan.nat_services
        nat_nodeports += plan.nat_nodeports
        services += plan.filter_services
        external += plan.filter_external
        nodeports += plan.filter_nodeports
        firewall += plan.filter_firewall
    return Ruleset(
        filter={
            names.SERVICES: tuple(services),
            names.EXTERNAL_SERVICES: tuple(external),
            names.NODEPORTS: tuple(nodeports),
            names.PROXY_FIREWALL: tuple(firewall),
            names.FORWARD: _forward_rules(settings),
            names.FIREWALL: _firewall_rules(settings),
        },
        nat={
            names.SERVICES: (*nat_services, *_node_port_jumps(settings, node)),
            names.NODEPORTS: tuple(nat_nodeports),
            names.POSTROUTING: (
                f"-m mark ! --mark {settings.mark}/{settings.mark} -j RETURN",
                f"-j MARK --xor-mark {settings.mark}",
                '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
            ),
            names.MARK_MASQ: (f"-j MARK --or-mark {settings.mark}",),
            names.POD_MASQUERADE: _pod_masquerade_rules(settings, node),
        },
    )


def with_own_chains(shared: Ruleset, plans: Iterable[PortPlan]) -> Ruleset:
    """`shared`, and the chains that belong to the plans' services alone."""
    nat = dict(shared.nat)
    for plan in plans:
        nat |= plan.chains
    return Ruleset(filter=shared.filter, nat=nat)


def assemble(plans: Iterable[PortPlan], settings: Settings, node: NodeView) -> Ruleset:
    """Everything of ours."""
    plans = list(plans)
    return with_own_chains(shared_chains(plans, settings, node), plans)


def diff(old: Ruleset, new: Ruleset) -> Change:
    """What turns a kernel that holds `old` into one that holds `new`: whole chains, and only those that differ.

    Chains that are in neither are left alone.
    """
    change: Change = {}
    for name in TABLES:
        before, after = old.table(name), new.table(name)
        change[name] = TableChange(
            write={chain: rules for chain, rules in after.items() if before.get(chain) != rules},
            delete=[chain for chain in before if chain not in after],
        )
    return change


def render(change: Change) -> str:
    """Input for `iptables-restore --noflush`; empty when there is nothing to do. Each table is one transaction."""
    return "".join(f"*{name}\n{_table(table)}COMMIT\n" for name in TABLES if (table := change.get(name)))


def render_whole(plans: Iterable[PortPlan], others: Callable[[], Change]) -> Iterator[str]:
    """The same in pieces, for everything of ours, so that the first are being read while the last are planned.

    plans: every service port's. others: asked for after the last of them; what there is to write but their chains.
    """
    begun = {names.SERVICES: 0, names.NODEPORTS: 0}
    yield "".join(["*nat\n", *_declared((names.MARK_MASQ, *begun))])
    yield from in_pieces(_with_shared(plan, begun) for plan in plans)
    change = others()
    yield "".join([_table(change["nat"], begun), "COMMIT\n*filter\n", _table(change["filter"]), "COMMIT\n"])


def _with_shared(plan: PortPlan, begun: dict[str, int]) -> str:
    """A port's own chains, and its rules in the chains of the nat table that hold those of every port, which is most of
    what these hold. begun: of each such chain how many rules were written."""
    begun[names.SERVICES] += len(plan.nat_services)
    begun[names.NODEPORTS] += len(plan.nat_nodeports)
    shared = ((names.SERVICES, plan.nat_services), (names.NODEPORTS, plan.nat_nodeports))
    return "".join(_declared(plan.chains) + _appended(plan.chains.items()) + _appended(shared))


def _table(table: TableChange, begun: Mapping[str, int] = _NONE_BEGUN) -> str:
    """begun: chains that are there, with so many of their rules."""
    lines = _declared(chain for chain in (*table.write, *table.delete) if chain not in begun)
    lines += _appended((chain, rules[begun.get(chain, 0) :]) for chain, rules in table.write.items())
    lines += [f"-I {jump.source} {jump.rule()}\n" for jump in table.jumps]
    lines += [f"-X {chain}\n" for chain in table.delete]
    return "".join(lines)


def _declared(chains: Iterable[str]) -> list[str]:
    # Naming a chain makes it, or empties it: what follows is all that it holds.
    return [f":{chain} - [0:0]\n" for chain in chains]


def _appended(chains: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    return [f"-A {chain} {rule}\n" for chain, rules in chains for rule in rules]


def is_ours(chain: str) -> bool:
    return chain in SHARED or chain.startswith(names.SERVICE_PREFIXES)


def _node_port_jumps(settings: Settings, node: NodeView) -> list[str]:
    words = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
    note = f'-m comment --comment "{words}"'
    addresses = settings.translated(node)
    if addresses is not None:
        return [f"{note} -d {address} -j {names.NODEPORTS}" for address in addresses]
    to = "-m addrtype --dst-type LOCAL"
    if settings.family == 6:
        to += " ! -d ::1/128"
    elif not settings.localhost_node_ports:
        to += " ! -d 127.0.0.0/8"
    return [f"{note} {to} -j {names.NODEPORTS}"]


def _forward_rules(settings: Settings) -> Rules:
    # Packets that conntrack cannot place would reach a pod past DNAT and be answered by a reset
    # (https://issue.k8s.io/74839); not with nf_conntrack_tcp_be_liberal.
    invalid = () if settings.tcp_liberal else ("-m conntrack --ctstate INVALID -j DROP",)
    return (
        *invalid,
        f'-m comment --comment "kubernetes forwarding rules" -m mark --mark {settings.mark}/{settings.mark} -j ACCEPT',
        '-m comment --comment "kubernetes forwarding conntrack rule"'
        " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    )


def _firewall_rules(settings: Settings) -> Rules:
    if settings.family == 6 or not settings.localhost_node_ports:
        return ()
    # route_localnet lets neighbours address 127.0.0.0/8 of this node; this keeps them out (CVE-2020-8558).
    return (
        '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8'
        " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
    )


def _pod_masquerade_rules(settings: Settings, node: NodeView) -> Rules:
    """Nothing outside knows the way to a pod; other pods do, and must see its address."""
    if not node.cluster_cidr or not node.pod_cidr:
        return ()
    multicast = "224.0.0.0/4" if settings.family == 4 else "ff00::/8"
    return (
        f"-d {node.cluster_cidr} -j RETURN",
        f"-d {multicast} -j RETURN",
        f"-s {node.pod_cidr} -j MASQUERADE --random-fully",
    )
