"""The iptables mode: what is in the kernel, and what is written when something changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from nodeagent.proxy.backend import Ports
from nodeagent.proxy.node import NodeView, Settings

from .command import Netfilter
from .plan import PortPlan, plan_port
from .ruleset import Change, Ruleset, diff, render, render_whole, shared_chains, with_own_chains
from .saved import SavedTable, is_whole, plan_whole

Plans = list[PortPlan]

_LARGE = 1000  # endpoints from which on rules go without comments, as upstream
_NOTHING = Ruleset(filter={}, nat={})


class IptablesRules:
    """A `Backend`. An endpoint that changes costs its chains; a service that comes or goes also the shared ones."""

    command = "iptables-restore"

    def __init__(self, netfilter: Netfilter, settings: Settings) -> None:
        self._netfilter, self._settings = netfilter, settings
        self._plans: dict[str, Plans] = {}
        self._endpoints: dict[str, int] = {}
        self._total = 0
        self._shared, self._view, self._comments = _NOTHING, NodeView(), True
        self._counts = {"filter": 0, "nat": 0}
        self.transactions = 0
        self.holds = False

    async def write(
        self, ports: Mapping[str, Ports], changed: Set[str], view: NodeView, *, at_most: int | None = None
    ) -> float | None:
        self.transactions = 0
        held, self.holds = self.holds, False
        if held:
            if text := render(diff(*self._replan(ports, changed, view))):
                await self._netfilter.restore([text])
                self.transactions = text.count("\nCOMMIT\n")
        else:
            saved = await self._netfilter.save()
            await self._netfilter.restore(self._whole(ports, saved, view, at_most))
            self.transactions = len(self._counts)
        self.holds = True
        return None

    async def is_whole(self) -> bool:
        return is_whole(await self._netfilter.save(), self._wanted())

    def counts(self) -> Mapping[str, int]:
        return self._counts

    def _whole(
        self, ports: Mapping[str, Ports], saved: Mapping[str, SavedTable], view: NodeView, at_most: int | None
    ) -> Iterator[str]:
        """Everything, planned anew whatever was planned before, piece by piece."""
        self._plans.clear()
        self._endpoints.clear()
        self._total, self._view = 0, view
        self._comments = (at_most is not None and at_most <= _LARGE) or not _is_large(ports)
        yield from render_whole(self._plan_all(ports), lambda: self._others(saved))

    def _plan_all(self, ports: Mapping[str, Ports]) -> Iterator[PortPlan]:
        for key in sorted(ports):
            self._count_endpoints(key, ports[key])
            if plans := self._plan(ports[key]):
                self._plans[key] = plans
                yield from plans

    def _others(self, saved: Mapping[str, SavedTable]) -> Change:
        """What a full write holds but the chains of the plans."""
        self._shared = shared_chains(self._in_order(), self._settings, self._view)
        wanted = self._wanted()
        self._counts = {name: sum(map(len, wanted.table(name).values())) for name in self._counts}
        change = plan_whole(saved, wanted)
        for name, table in change.items():
            table.write = self._shared.table(name)
        return change

    def _plan(self, ports: Ports) -> Plans:
        return [plan_port(port, found, self._view, comments=self._comments) for port, found in ports]

    def _in_order(self) -> Iterator[PortPlan]:
        """In the order of names, so that the same services always make the same rules."""
        return (plan for key in sorted(self._plans) for plan in self._plans[key])

    def _wanted(self) -> Ruleset:
        return with_own_chains(self._shared, _all(self._plans))

    def _count(self, ports: Mapping[str, Ports], changed: Set[str]) -> bool:
        """Whether the number of endpoints has crossed the line between rules with comments and rules without."""
        for key in changed:
            self._count_endpoints(key, ports.get(key, ()))
        before, self._comments = self._comments, self._total <= _LARGE
        return before != self._comments

    def _count_endpoints(self, key: str, ports: Ports) -> None:
        now = sum(len(endpoints) for _, endpoints in ports)
        self._total += now - self._endpoints.pop(key, 0)
        if now:
            self._endpoints[key] = now

    def _replan(self, ports: Mapping[str, Ports], changed: Set[str], view: NodeView) -> tuple[Ruleset, Ruleset]:
        """Plan what changed; returns what of the rules may differ, before and after."""
        viewed, self._view = self._view, view
        if self._count(ports, changed) or view != viewed:
            changed = set(ports) | set(self._plans)
        before: dict[str, Plans] = {}
        after: dict[str, Plans] = {}
        for key in changed:
            before[key] = self._plans.pop(key, [])
            after[key] = self._plan(ports.get(key, ()))
            if after[key]:
                self._plans[key] = after[key]
        old, new = _NOTHING, _NOTHING
        if view != viewed or _shares(before) != _shares(after):
            old, new = self._shared, shared_chains(self._in_order(), self._settings, view)
            self._shared = new
        old, new = with_own_chains(old, _all(before)), with_own_chains(new, _all(after))
        for name in self._counts:
            self._counts[name] += sum(map(len, new.table(name).values())) - sum(map(len, old.table(name).values()))
        return old, new


def _is_large(ports: Mapping[str, Ports]) -> bool:
    """Looks at no more of them than it takes to know."""
    total = 0
    for key in sorted(ports):
        total += sum(len(endpoints) for _, endpoints in ports[key])
        if total > _LARGE:
            return True
    return False


def _all(plans: Mapping[str, Plans]) -> Iterable[PortPlan]:
    return (plan for key in plans for plan in plans[key])


def _shares(plans: Mapping[str, Plans]) -> list[tuple[list[str], ...]]:
    return [plan.shared() for key in sorted(plans) for plan in plans[key]]
