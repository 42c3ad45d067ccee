"""Classifying requests and giving them seats; FlowSchemas and levels as they are stored now."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from apimachinery.meta import status
from controlplane.apiserver.authn import remarks
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.fairness.defaults import CATCH_ALL, EXEMPT, flow_schemas, priority_levels
from controlplane.apiserver.fairness.level import Level, Queue, Refused
from controlplane.apiserver.fairness.matching import distinguisher, matches
from controlplane.apiserver.fairness.observed import Load, forget_level, observe_level
from controlplane.apiserver.fairness.retry_after import RetryAfter

Object = Mapping[str, Any]

PATIENCE = 15.0
"""Seconds a request may wait for its seat: a quarter of --request-timeout."""
_KNOWN = 4096  # classifications that are remembered


class Flow(Struct, frozen=True):
    """A schema with its level, as a request meets them."""

    schema: Object
    level: Level
    headers: Mapping[str, str]
    load: Load


class Seat:
    """What a request holds while it runs."""

    __slots__ = ("_fairness", "arrived", "asked", "flow", "queue", "started")

    def __init__(
        self, fairness: Fairness, flow: Flow, asked: Attributes, queue: Queue | None, arrived: float, started: float
    ) -> None:
        """queue: where it waited, or None. arrived, started: by the loop's clock."""
        self._fairness, self.flow, self.asked, self.queue = fairness, flow, asked, queue
        self.arrived, self.started = arrived, started
        fairness.running.add(self)

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer says of it."""
        return self.flow.headers

    def release(self) -> None:
        """The request is done, or needs no seat any more."""
        self._fairness.running.discard(self)
        self.flow.load.executing -= 1
        self.flow.level.give_back(self.queue)
        self._fairness.freed()


class Fairness:
    """Fed by `put` and `drop` with FlowSchemas and PriorityLevelConfigurations.

    total: how many requests may run at once over all levels (--max-requests-inflight and its mutating twin together).
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._schemas: dict[str, Object] = {}
        self._configurations: dict[str, Object] = {}
        self.levels: dict[str, Level] = {}
        self.running: set[Seat] = set()
        self._order: list[Flow] = []
        self._flows: dict[tuple[Any, ...], Flow] = {}
        self._loads: dict[tuple[str, str], Load] = {}
        self._retries: dict[str, RetryAfter] = {}
        self._dirty = False
        self.changed = asyncio.Event()
        """Set when schemas or levels have changed; whoever looks clears it."""
        for obj in (*priority_levels(), *flow_schemas()):
            self._hold(obj)
        self._rebuild()

    def put(self, obj: Object) -> None:
        """The object as it is now."""
        self._hold(obj)
        self._later()

    def drop(self, obj: Object) -> None:
        """It is gone; the mandatory ones come back by themselves."""
        held = self._schemas if obj["kind"] == "FlowSchema" else self._configurations
        if obj["metadata"]["name"] not in (EXEMPT, CATCH_ALL):
            held.pop(obj["metadata"]["name"], None)
        self._later()

    def _hold(self, obj: Object) -> None:
        held = self._schemas if obj["kind"] == "FlowSchema" else self._configurations
        held[obj["metadata"]["name"]] = obj

    def _later(self) -> None:
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_soon(self._rebuild)

    def classify(self, asked: Attributes) -> Flow:
        """The flow of a request: the first schema that matches, by precedence, then name."""
        user = asked.user
        # A path stands where a resource would, which never holds a slash.
        about = asked.resource or asked.path
        key = (user.name, user.groups, asked.verb, asked.group, about, asked.subresource, asked.namespace)
        found = self._flows.get(key)
        if found is None:
            found = next((flow for flow in self._order if matches(flow.schema, asked)), self._order[-1])
            if len(self._flows) >= _KNOWN:
                self._flows.clear()
            self._flows[key] = found
        return found

    async def take(self, asked: Attributes) -> Seat:
        """A seat. Raises ApiError 429 when there is none and nowhere to wait, or the wait was too long."""
        flow = self.classify(asked)
        load, queue = flow.load, None
        arrived = started = time.monotonic()
        if not flow.level.take_now():
            queue, started = await self._wait(flow, asked, arrived)
            remarks.current().waited += started - arrived
        load.executing += 1
        load.dispatched.inc()
        load.waited.observe(started - arrived)
        return Seat(self, flow, asked, queue, arrived, started)

    async def _wait(self, flow: Flow, asked: Attributes, began: float) -> tuple[Queue, float]:
        """For a seat: the queue in which it was waited for, and when it was there. Raises ApiError 429."""
        name = flow.schema["metadata"]["name"]
        apart = f"{name}/{distinguisher(flow.schema, asked)}"
        clock = time.monotonic
        flow.load.waiting += 1
        try:
            queue = await flow.level.take(name, apart, asked, began, PATIENCE)
        except Refused as error:
            flow.load.refused(str(error), clock() - began)
            seconds = self._retries.setdefault(flow.level.name, RetryAfter()).refused(clock())
            raise status.Busy(seconds, flow.headers) from None
        finally:
            flow.load.waiting -= 1
        return queue, clock()

    def freed(self) -> None:
        """A seat came free: whoever may use it now gets it."""
        for level in self.levels.values():
            if level.waiting:
                level.dispatch()

    def may_borrow(self, level: Level) -> bool:
        """Whether a level whose own seats are taken may use one that another level has to spare.

        A lender whose seats are lent still starts its own requests, so that for a moment more than `total` may run."""
        if level.executing - level.seats >= level.borrowing:
            return False
        spare = borrowed = 0
        for other in self.levels.values():
            if other.exempt:
                continue
            if other.executing > other.seats:
                borrowed += other.executing - other.seats
            elif other is not level:
                spare += min(other.lendable, other.seats - other.executing)
        return borrowed < spare

    def _rebuild(self) -> None:
        self._dirty = False
        limited = {name: each for name, each in self._configurations.items() if each["spec"]["type"] == "Limited"}
        shares = {name: _shares(each["spec"]["limited"]) for name, each in limited.items()}
        whole = sum(shares.values()) or 1
        levels: dict[str, Level] = {}
        for name, each in self._configurations.items():
            uid, exempt = str(each["metadata"].get("uid") or ""), name not in limited
            level = self.levels.get(name)
            if level is None or level.exempt is not exempt:
                level = Level(name, uid, may_borrow=self.may_borrow, exempt=exempt)
            level.uid = uid
            levels[name] = level
        for name in self.levels.keys() - limited.keys():
            forget_level(name)
        self.levels = levels
        for name, each in limited.items():
            self._configure(levels[name], each["spec"]["limited"], math.ceil(self._total * shares[name] / whole))
            observe_level(levels[name])
        self.changed.set()
        self._order = self._flows_in_order()
        for gone in self._loads.keys() - {(flow.level.name, flow.schema["metadata"]["name"]) for flow in self._order}:
            self._loads.pop(gone).forget()
        self._flows.clear()

    def _configure(self, level: Level, spec: Object, seats: int) -> None:
        percent = spec.get("borrowingLimitPercent")
        response = spec.get("limitResponse") or {}
        queuing = response.get("queuing") or {} if response.get("type") == "Queue" else {}
        level.configure(
            seats=seats,
            lendable=round(seats * int(spec.get("lendablePercent") or 0) / 100),
            borrowing=self._total if percent is None else round(seats * int(percent) / 100),
            queues=int(queuing.get("queues") or (64 if queuing else 0)),
            hand=int(queuing.get("handSize") or 8),
            length=int(queuing.get("queueLengthLimit") or 50),
        )

    def _flows_in_order(self) -> list[Flow]:
        def rank(schema: Object) -> tuple[int, str]:
            return int(schema["spec"].get("matchingPrecedence") or 1000), schema["metadata"]["name"]

        flows = []
        for schema in sorted(self._schemas.values(), key=rank):
            name = schema["spec"]["priorityLevelConfiguration"]["name"]
            level = self.levels.get(name)
            if level is None:
                continue  # dangling: it matches nothing
            headers = {
                "X-Kubernetes-PF-FlowSchema-UID": str(schema["metadata"].get("uid") or ""),
                "X-Kubernetes-PF-PriorityLevel-UID": level.uid,
            }
            key = (name, schema["metadata"]["name"])
            load = self._loads.get(key)
            if load is None:
                load = self._loads[key] = Load(*key)
            flows.append(Flow(schema, level, headers, load))
        return flows


def _shares(limited: Object) -> int:
    shares = limited.get("nominalConcurrencyShares")
    return 30 if shares is None else int(shares)
