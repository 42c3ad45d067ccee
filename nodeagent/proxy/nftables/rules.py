"""The nftables mode: what is in the kernel, and what is written when something changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from apimachinery.kit.clock import Clock
from apimachinery.kit.commands import CommandError
from nodeagent.proxy.backend import Ports
from nodeagent.proxy.node import NodeView, Settings

from . import names
from .encode import encode_change, encode_deletion
from .kernel import Kernel
from .plan import PortPlan, plan_port
from .render import Present, leftover, render_change, render_whole
from .state import FIXED, Change, State, merge
from .table import MAPS, SETS, fixed_chains

Plans = Iterator[tuple[str, PortPlan | None]]
"""By the Service's key, None for one that adds nothing; made as they are asked for."""

# Kernels before 6.2 notice only some time after an element of a map is gone that its chain is not in use any more.
STALE_SECONDS = 1.0


class NftablesRules:
    """A `Backend`. What changes costs its own chains and elements, however many services there are."""

    command = "nft"

    def __init__(self, kernel: Kernel, settings: Settings, clock: Clock) -> None:
        self._kernel, self._settings, self._clock = kernel, settings, clock
        self._state = State()
        self._view: NodeView | None = None
        self._stale: dict[str, float] = {}
        self._refused, self._first = False, True
        self.transactions = 0
        self.holds = False

    async def write(
        self, ports: Mapping[str, Ports], changed: Set[str], view: NodeView, *, at_most: int | None = None
    ) -> float | None:
        self.transactions = 0
        # Each is planned when it is asked for: the command of a full write is running by then.
        held, self.holds = self.holds, False
        plans = self._plans(ports, changed, view, whole=not held)
        try:
            if held:
                await self._write_changed(plans)
            else:
                await self._write_whole(plans)
        finally:
            self._take(plans)  # in any case: what changed is not told again
        self.holds = True
        return STALE_SECONDS if self._stale else None

    async def is_whole(self) -> bool:
        return is_whole(await self._kernel.present(), self._state, self._stale)

    def counts(self) -> Mapping[str, int]:
        return {}

    def _plans(self, ports: Mapping[str, Ports], changed: Set[str], view: NodeView, *, whole: bool) -> Plans:
        """What is no Service's first: it is what theirs lead to."""
        if whole or view != self._view:
            self._view = view
            elements = {(names.NODEPORT_IPS, ip): ("", "") for ip in self._settings.translated(view) or ()}
            yield FIXED, PortPlan(chains=fixed_chains(self._settings, view), elements=elements)
        for key in changed:
            yield key, merge(plan_port(port, found, view) for port, found in ports.get(key, ()))

    def _take(self, plans: Plans) -> None:
        for key, plan in plans:
            self._state.take(key, plan)

    def _is_written(self, found: Present, plans: Plans) -> bool:
        """Once, at the start: what an earlier process wrote is left as it is when it is what this one wants.

        Writing everything anew is one transaction, but a packet that is being looked at when it is committed may meet
        the old rule with the old map emptied already, and be refused: the kernel has no order between the two.
        """
        first, self._first = self._first, False
        if not first or not found.chains:
            return False
        self._take(plans)
        return is_whole(found, self._state)

    async def _write_changed(self, plans: Plans) -> None:
        await self._delete_stale()
        change = self._state.replace(dict(plans))
        await self._commit(change)
        for name in change.chains:
            self._stale.pop(name, None)
        self._note_stale(change.drop)

    async def _write_whole(self, plans: Plans) -> None:
        """The second time in a row that this is refused, the table is replaced: something in it is not as ours."""
        found = await self._kernel.present()
        if self._is_written(found, plans):
            return
        self._stale.clear()
        present = None if self._refused else found
        refused_before, self._refused = self._refused, True
        try:
            await self._kernel.apply(render_whole(self._state, present, self._settings.family, self._all(plans)))
        except CommandError:
            self._refused = not refused_before
            raise
        self.transactions += 1
        self._refused = False
        if present is not None:
            self._note_stale(leftover(self._state, present))

    def _all(self, plans: Plans) -> Iterator[PortPlan]:
        """What every Service adds; those that changed before the others, and taken in as they are asked for."""
        taken = set()
        for key, plan in plans:
            self._state.take(key, plan)
            taken.add(key)
            if plan is not None:
                yield plan
        yield from (plan for key, plan in self._state.plans.items() if key not in taken)

    async def _commit(self, change: Change) -> None:
        family = self._settings.family
        requests = encode_change(change, family)
        if requests is None:
            await self._kernel.apply([render_change(change, family)])
        elif requests:
            self._kernel.transact(requests)
        self.transactions += requests != []

    def _note_stale(self, chains: Iterable[str]) -> None:
        self._stale |= dict.fromkeys(chains, self._clock.monotonic())

    async def _delete_stale(self) -> None:
        now = self._clock.monotonic()
        old = [name for name, since in self._stale.items() if now - since >= STALE_SECONDS]
        if old:
            self._kernel.transact(encode_deletion(old, self._settings.family))
            self.transactions += 1
        for name in old:
            del self._stale[name]


def is_whole(present: Present, state: State, stale: Set[str] | Mapping[str, float] = frozenset()) -> bool:
    """Whether the kernel holds the state. Pure.

    Counts, not texts: that every chain has as many rules as it should, every map as many elements.
    """
    chains = state.chains()
    if any(present.chains.get(name) != len(rules) for name, rules in chains.items()):
        return False
    if any(name not in chains and name not in stale for name in present.chains):
        return False
    sets = state.sets()
    if {name: at for name, at in present.sets.items() if names.is_affinity_set(name)} != sets:
        return False
    elements = dict.fromkeys((*MAPS, *SETS), 0)
    for name, _ in state.elements():
        elements[name] += 1
    return present.elements == elements
