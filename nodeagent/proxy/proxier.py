"""Keeps the kernel's rules of one address family as Services and EndpointSlices want them.

What changed is planned anew by the mode's back end, compared with what the kernel was last given, and only what differs
is written. A look at the kernel (`verify`) tells whether it still has what it was given; if not, everything of ours is
written anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from apimachinery.cache.lister import Lister
from apimachinery.kit import collector
from apimachinery.kit.clock import Clock
from apimachinery.kit.commands import CommandError
from apimachinery.kit.trace import current
from apimachinery.meta import objects, times
from apimachinery.meta.endpoints import LAST_CHANGE

from . import observed, services, stale
from .backend import Backend
from .node import NodeView
from .planned import Planned, ServicePorts

log = logging.getLogger(__name__)

Object = dict[str, Any]
ForgetStale = Callable[[stale.Wanted], int]
"""Forgets the connections that are stale by these targets; returns how many. Blocks; called on a thread."""
Answering = Callable[[NodeView], tuple[str, ...] | None]
"""The node's addresses that node ports answer on; None for all of them."""
Chosen = Callable[[], tuple[str, ...] | None]
"""The machine's addresses, as they are now, of those that node ports were told to answer on; may raise OSError."""

SLICES_OF_SERVICE = "service"
_NOTED_MAX = 200  # Services of one sync that are noted in the trace; a start notes none
_RETRY_MIN, _RETRY_MAX = 1.0, 30.0  # seconds after a refusal


class Proxier:
    """One address family. Nothing here runs at the same time as itself: `sync` and `verify` are called in turn.

    services, slices: listers that have synced before the first `sync`; slices has the index SLICES_OF_SERVICE.
    take_over: removes what another mode left, once this one's rules are in the kernel; may raise CommandError, OSError.
    """

    def __init__(
        self,
        node_name: str,
        service_lister: Lister,
        slice_lister: Lister,
        backend: Backend,
        family: int,
        view: NodeView,
        clock: Clock,
        forget_stale: ForgetStale,
        take_over: Callable[[], Awaitable[None]] | None = None,
        answering: Answering | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        self.family = family
        self._node_name, self._services, self._slices = node_name, service_lister, slice_lister
        self._backend, self._view = backend, view
        self._clock, self._forget_stale, self._take_over = clock, forget_stale, take_over
        self._answering, self._chosen = answering, chosen
        self._planned = Planned(self._plan)
        self._with_health_check: set[str] = set()
        self._changed: set[str] = set()
        self._all_changed = True
        self._triggers: dict[str, float] = {}
        self._retry = _RETRY_MIN
        self.last_sync: float | None = None  # monotonic time of the last success

    @property
    def label(self) -> str:
        return f"IPv{self.family}"

    @property
    def transactions(self) -> int:
        """How many the last sync committed."""
        return self._backend.transactions

    def service_changed(self, key: str) -> None:
        """key: `namespace/name` of the Service whose ports or endpoints changed, came or went."""
        self._changed.add(key)

    def slice_changed(self, endpoint_slice: Object, *, gone: bool = False) -> None:
        """gone: it was deleted, of whose cause it says nothing."""
        key = services.slice_service(endpoint_slice)
        if key is None:
            return
        self._changed.add(key)
        text = objects.annotations(endpoint_slice).get(LAST_CHANGE)
        if text and self._backend.holds and not gone:
            try:
                self._triggers.setdefault(key, times.parse(text).timestamp())
            except ValueError:
                pass

    def node_changed(self, labels: Mapping[str, str], node_ip: str, pod_cidr: str) -> None:
        view = replace(self._view, labels=dict(labels), node_ip=node_ip, pod_cidr=pod_cidr)
        if view != self._view:
            self._view = view
            self._all_changed = True

    def _addresses_changed(self) -> bool:
        """Whether the machine got or lost an address that node ports answer on."""
        if self._chosen is None:
            return False
        try:
            found = self._chosen()
        except OSError as error:
            log.error("%s: cannot read the node's addresses: %s", self.label, error)
            return False
        changed, self._view = found != self._view.chosen_addresses, replace(self._view, chosen_addresses=found)
        self._all_changed |= changed
        return changed

    def local_ready(self, namespace: str, service: str) -> int:
        """How many ready endpoints a Service has on this node: what its health check port answers."""
        planned = self._planned.get(f"{namespace}/{service}", [])
        return len({one.ip for _, endpoints in planned for one in endpoints if one.local and one.ready})

    def health_check_hosts(self) -> tuple[str, ...]:
        """The addresses that health checks answer on: those of node ports."""
        found = None if self._answering is None else self._answering(self._view)
        return ("0.0.0.0" if self.family == 4 else "::",) if found is None else found

    def health_check_ports(self) -> dict[int, tuple[str, str]]:
        """Port → (namespace, name), of Services whose external traffic stays on the node."""
        return {
            number: (port.namespace, port.service)
            for key in sorted(self._with_health_check)
            for port, _ in self._planned.get(key, [])
            if (number := port.health_check_port)
        }

    async def sync(self) -> float | None:
        """Bring the kernel to what the listers say; a float asks to be called again after so many seconds."""
        with nullcontext() if self._backend.holds else self._much_made():
            return await self._sync()

    def _much_made(self) -> AbstractContextManager[None]:
        """Of a full write. What the first makes stays as long as the process; later ones put theirs in its place."""
        return collector.loading() if self.last_sync is None else collector.paused()

    async def _sync(self) -> float | None:
        started = self._clock.monotonic()
        self._addresses_changed()
        changed, before = self._take_changed()
        triggers, self._triggers = self._triggers, {}
        whole = not self._backend.holds
        try:
            at_most = self._endpoints_at_most() if whole else None
            again = await self._backend.write(self._planned, changed, self._view, at_most=at_most)
        except (CommandError, OSError) as error:
            return self._failed(error)
        finally:
            self._planned.work_out(changed)  # whatever the kernel says, health checks are answered
        self._succeeded(started, whole, triggers)
        self._note(changed, started)
        await self._forget(changed, before, whole=whole)
        await self._remove_other_mode()
        return again

    async def verify(self) -> bool:
        """Whether the kernel holds what it should. If not what it was given, the next `sync` writes everything anew."""
        if not self._backend.holds or self._addresses_changed():
            return False
        try:
            whole = await self._backend.is_whole()
        except (CommandError, OSError) as error:
            log.error("%s: cannot read the rules: %s", self.label, error)
            return False
        if not whole:
            log.warning("%s: rules in the kernel are not as they were written; writing them anew", self.label)
            observed.REPAIRS.labels(self.label).inc()
            self._backend.holds = False
        return whole

    def _take_changed(self) -> tuple[set[str], dict[str, ServicePorts]]:
        """Have planned anew what changed; returns the keys and what was planned for them before."""
        keys, self._changed = self._changed, set()
        if self._all_changed:
            keys |= set(self._planned)
            keys.update(self._services.keys_except(keys))
            self._all_changed = False
        gone = {key for key in keys if self._services.get_by_key(key) is None}
        self._with_health_check -= gone
        return keys, self._planned.replace(keys - gone, gone)

    def _plan(self, key: str) -> ServicePorts:
        service = self._services.get_by_key(key)
        ports = services.service_ports(service, self.family) if service is not None else []
        self._with_health_check.discard(key)
        if any(port.health_check_port for port in ports):
            self._with_health_check.add(key)
        if not ports:
            return []
        slices = self._slices.by_index(SLICES_OF_SERVICE, key)
        endpoints = services.endpoints(slices, self._node_name, self.family)
        return [(port, endpoints.get((port.port_name, port.protocol), [])) for port in ports]

    def _endpoints_at_most(self) -> int:
        """Of all Services together, before they are worked out."""
        return sum(len(one.get("endpoints") or ()) * len(one.get("ports") or ()) for one in self._slices.list())

    def _failed(self, error: Exception) -> float:
        command = self._backend.command
        log.error("%s: failed to execute %s: %s; again in %.0f s", self.label, command, error, self._retry)
        observed.FAILURES[command].labels(self.label).inc()
        delay, self._retry = self._retry, min(self._retry * 2, _RETRY_MAX)
        return delay

    def _succeeded(self, started: float, whole: bool, triggers: Mapping[str, float]) -> None:
        self._retry = _RETRY_MIN
        self.last_sync = self._clock.monotonic()
        elapsed, now = self.last_sync - started, self._clock.now().timestamp()
        (observed.SYNC_FULL_SECONDS if whole else observed.SYNC_SECONDS).labels(self.label).observe(elapsed)
        observed.LAST_SYNC.labels(self.label).set(now)
        for at in triggers.values():
            observed.PROGRAMMING_SECONDS.labels(self.label).observe(max(0.0, now - at))
        for table, count in self._backend.counts().items():
            observed.RULES.labels(self.label, table).set(count)
        log.log(
            logging.INFO if whole else logging.DEBUG,
            "%s: %d services in the kernel, %s sync took %.0f ms",
            self.label, len(self._planned), "full" if whole else "partial", elapsed * 1000,
        )  # fmt: skip

    def _note(self, changed: set[str], started: float) -> None:
        """In the component's trace: what these Services want is in the kernel."""
        trace = current()
        if trace is None or len(changed) > _NOTED_MAX:
            return
        detail = {"family": self.label, "with": self._backend.command, "seconds": self._clock.monotonic() - started}
        for key in sorted(changed):
            trace.note("ruled", "services", key, "", detail)

    async def _forget(self, changed: set[str], before: Mapping[str, ServicePorts], *, whole: bool) -> None:
        """Drop UDP connections to changed Services that lead where there is no endpoint any more, and whatever else
        was on its way to a ClusterIP before there were rules for it. whole: perhaps there were none for any."""
        gone: ServicePorts = [(port, []) for key in changed for port, _ in before.get(key, [])]
        now = [pair for ports in self._planned.values() for pair in ports] if whole else self._of(changed)
        ruled = frozenset() if whole else stale.translated(gone)
        wanted = stale.Wanted(stale.targets(gone) | stale.targets(now), stale.translated(now) - ruled)
        if not wanted:
            return
        try:
            count = await asyncio.to_thread(self._forget_stale, wanted)
        except OSError as error:
            log.error("%s: cannot clean up tracked connections: %s", self.label, error)
            return
        if count:
            observed.STALE_FLOWS.labels(self.label).inc(count)
            log.info("%s: forgot %d stale connections", self.label, count)

    def _of(self, keys: Iterable[str]) -> ServicePorts:
        return [pair for key in keys for pair in self._planned.get(key, [])]

    async def _remove_other_mode(self) -> None:
        if self._take_over is None:
            return
        try:
            await self._take_over()
        except (CommandError, OSError) as error:
            log.error("%s: cannot remove the rules of another mode: %s", self.label, error)
        else:
            self._take_over = None
