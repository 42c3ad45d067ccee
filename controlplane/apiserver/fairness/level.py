"""One priority level: seats, and fair queues for those who wait for one.

Each flow is dealt a hand of queues by its hash (shuffle sharding) and joins the shortest of them, so that a flow that
floods fills a few queues and leaves others free. Seats that come free go to the waiting queue that has been served
least (start-time fair queuing, one unit a request), so that a full queue gets no more than one that holds a request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

from msgspec import Struct, field

from controlplane.apiserver.authz.attributes import Attributes


class Refused(Exception):
    """There is no seat and no place to wait; the text is the reason for the metrics."""


class Waiting(Struct, eq=False):
    """One request in a queue."""

    seat: asyncio.Future[None]
    schema: str
    flow: str
    asked: Attributes
    since: float


class Queue(Struct, eq=False):
    """A queue of waiting requests. `served`: the virtual time up to which it has had its share."""

    requests: deque[Waiting] = field(default_factory=deque)
    served: float = 0.0
    executing: int = 0


class Level:
    """Seats of one PriorityLevelConfiguration. seats 0 with `exempt`: no limit at all."""

    def __init__(self, name: str, uid: str, *, may_borrow: Callable[[Level], bool], exempt: bool = False) -> None:
        self.name, self.uid, self.exempt = name, uid, exempt
        self._may_borrow = may_borrow
        self.seats, self.lendable, self.borrowing = 0, 0, 0
        self.queues: list[Queue] = []
        self._hand, self._length = 0, 0
        self._virtual = 0.0
        self.executing, self.waiting = 0, 0
        self.dispatched, self.rejected, self.timed_out, self.cancelled = 0, 0, 0, 0

    def configure(
        self, *, seats: int, lendable: int, borrowing: int, queues: int = 0, hand: int = 0, length: int = 0
    ) -> None:
        """seats: what is its own; lendable: how many of them others may use; borrowing: how many it may use of others.

        queues 0: who finds no seat is refused. length: how many wait in one queue. Queues that are gone keep nobody
        waiting: what they held is put to the others."""
        self.seats, self.lendable, self.borrowing = seats, lendable, borrowing
        self._hand, self._length = hand, length
        if queues != len(self.queues):
            kept = [waiting for queue in self.queues for waiting in queue.requests]
            self.queues = [Queue(served=self._virtual) for _ in range(queues)]
            for waiting in kept:
                if self.queues:
                    self._shortest(waiting.flow).requests.append(waiting)
                elif not waiting.seat.done():
                    waiting.seat.set_exception(Refused("concurrency-limit"))
        self.dispatch()

    @property
    def free(self) -> bool:
        """Whether a request may run now: on a seat of its own, or on a borrowed one."""
        return self.exempt or self.executing < self.seats or self._may_borrow(self)

    def take_now(self) -> bool:
        """Take a seat without waiting, if nobody waits and one is free."""
        if self.waiting or not self.free:
            return False
        self.executing += 1
        self.dispatched += 1
        return True

    async def take(self, schema: str, flow: str, asked: Attributes, now: float, patience: float) -> Queue:
        """Wait for a seat, at most `patience` seconds. Returns the queue, for `give_back`. Raises Refused."""
        if not self.queues:
            self.rejected += 1
            raise Refused("concurrency-limit")
        queue = self._shortest(flow)
        if len(queue.requests) >= self._length:
            self.rejected += 1
            raise Refused("queue-full")
        if not queue.requests and not queue.executing:
            queue.served = max(queue.served, self._virtual)  # idleness saves nothing up
        waiting = Waiting(asyncio.get_running_loop().create_future(), schema, flow, asked, now)
        queue.requests.append(waiting)
        self.waiting += 1
        self.dispatch()
        try:
            async with asyncio.timeout(patience):
                await waiting.seat
        except TimeoutError:
            self._leave(queue, waiting)
            self.timed_out += 1
            self.rejected += 1
            raise Refused("time-out") from None
        except asyncio.CancelledError:
            self._leave(queue, waiting)
            self.cancelled += 1
            raise
        return queue

    def give_back(self, queue: Queue | None) -> None:
        """The request is done. queue: the one it waited in, or None."""
        self.executing -= 1
        if queue is not None:
            queue.executing -= 1

    def dispatch(self) -> None:
        """Seat those who wait while there are seats."""
        while self.waiting and self.free:
            queue = min((each for each in self.queues if each.requests), key=lambda each: each.served, default=None)
            if queue is None:
                return
            waiting = queue.requests.popleft()
            self.waiting -= 1
            if waiting.seat.done():
                continue  # it has just given up
            self._virtual = max(self._virtual, queue.served)
            queue.served = max(queue.served, self._virtual) + 1.0
            queue.executing += 1
            self.executing += 1
            self.dispatched += 1
            waiting.seat.set_result(None)

    def _leave(self, queue: Queue, waiting: Waiting) -> None:
        holder = next((each for each in (queue, *self.queues) if waiting in each.requests), None)
        if holder is not None:
            holder.requests.remove(waiting)
            self.waiting -= 1
        elif waiting.seat.done() and not waiting.seat.cancelled() and waiting.seat.exception() is None:
            self.give_back(queue)  # seated in the very moment
            self.dispatch()

    def _shortest(self, flow: str) -> Queue:
        hand = deal(flow, len(self.queues), self._hand)
        return min((self.queues[index] for index in hand), key=lambda each: (len(each.requests), each.executing))


def deal(flow: str, deck: int, hand: int) -> list[int]:
    """`hand` different cards of a deck of `deck`, by the hash of `flow` (shufflesharding.Dealer)."""
    value = int.from_bytes(hashlib.sha256(flow.encode()).digest()[:8], "little")
    cards: list[int] = []
    for dealt in range(min(hand, deck)):
        value, card = divmod(value, deck - dealt)
        for known in sorted(cards):
            if card >= known:
                card += 1
        cards.append(card)
    return cards
