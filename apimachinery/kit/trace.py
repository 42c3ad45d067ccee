"""What a component has done of late, in a bounded ring: always kept, and joined with others' only when somebody asks.

An entry costs one record in a deque, so that it need not be switched on before the thing that one wants to understand.
Entries and their details are records that the search for garbage never looks at (`gc=False`): thousands are kept and as
many forgotten, which would make it look through all else more often. Whoever asks gets them as JSON (`document`).
The ring of a component is found through a context variable, which every task inherits from the one that made it: two
components in one process have a ring each, and what they share (clients, caches, queues) needs no further argument.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from msgspec import Struct, to_builtins

SIZE = 8192
"""Entries of a ring; about 300 bytes each."""
_CAUSES_MAX = 8

Thing = tuple[str, str, str]
"""An object at a revision: its resource (`deployments.apps`), its key (`namespace/name`) and its revision."""


class Entry(Struct, gc=False, array_like=True):
    """at: seconds since the epoch. work: number of the work (a reconciliation, a request) in which it happened; 0 for
    none. what: a word of the component's. resource, key, revision: what it is about. detail: JSON, or a Struct of it,
    which is never changed afterwards."""

    at: float
    work: int
    what: str
    resource: str
    key: str
    revision: str
    detail: Any


class Trace:
    """The ring of one component. now: seconds since the epoch."""

    def __init__(self, component: str, *, size: int = SIZE, now: Callable[[], float] = time.time) -> None:
        self.component, self.now = component, now
        self._entries: deque[Entry] = deque(maxlen=size)
        self._works = 0
        self.written = 0

    def note(self, what: str, resource: str, key: str, revision: str = "", detail: Any = None) -> None:
        """Remember that something happened, in the work that is under way."""
        self.written += 1
        self._entries.append(Entry(self.now(), _WORK.get(), what, resource, key, revision, detail))

    def note_at(self, at: float, work: int, what: str, resource: str, key: str, revision: str, detail: Any) -> None:
        """Remember something that began at another time, or belongs to another work."""
        self.written += 1
        self._entries.append(Entry(at, work, what, resource, key, revision, detail))

    def working(self) -> Working:
        """What is noted inside, by this task and those that it makes, belongs to one work, whose number this is."""
        self._works += 1
        return Working(self._works)

    def document(self) -> dict[str, Any]:
        """The ring as JSON, with our clock, by which a reader in another machine corrects the times."""
        entries = to_builtins(list(self._entries))
        return {
            "component": self.component,
            "now": self.now(),
            "forgotten": self.written - len(entries),
            "entries": entries,
        }


class Working:
    """A context, in which one work is under way."""

    __slots__ = ("_number", "_token")
    _token: Token[int]

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> int:
        self._token = _WORK.set(self._number)
        return self._number

    def __exit__(self, *_: object) -> None:
        _WORK.reset(self._token)


_CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)
_WORK: ContextVar[int] = ContextVar("work", default=0)


def use(trace: Trace | None) -> None:
    """The ring of this task, and of those that it makes from now on."""
    _CURRENT.set(trace)


def current() -> Trace | None:
    """The ring of this task's component; None where nobody keeps one."""
    return _CURRENT.get()


class Causes:
    """What made a queue's keys ready: the deliveries during whose handling each was added. Bounded for each key."""

    def __init__(self) -> None:
        self._of: dict[str, list[Thing]] = {}

    def remember(self, key: str) -> None:
        """A key is added: the delivery that is being handled, if any, is a cause of it."""
        if _delivered:
            causes = self._of.setdefault(key, [])
            if len(causes) < _CAUSES_MAX and _delivered[-1] not in causes:
                causes.append(_delivered[-1])

    def take(self, key: str) -> tuple[Thing, ...]:
        """The causes of a key whose turn has come, forgotten from now on."""
        return tuple(self._of.pop(key, ()))


# Handlers of a delivery are plain functions that do not wait, so one place serves every task of the process.
_delivered: list[Thing] = []


class Delivery:
    """A context: a cache tells its handlers of `thing`, which is noted, and the cause of every key that they queue.

    The inside must not await. how: ADDED, MODIFIED or DELETED. trace: None outside of every ring.
    """

    __slots__ = ("_how", "_thing", "_trace")

    def __init__(self, trace: Trace | None, thing: Thing, how: str) -> None:
        self._trace, self._thing, self._how = trace, thing, how

    def __enter__(self) -> None:
        if self._trace is not None:
            self._trace.note("delivered", *self._thing, self._how)
            _delivered.append(self._thing)

    def __exit__(self, *_: object) -> None:
        if self._trace is not None:
            _delivered.pop()
