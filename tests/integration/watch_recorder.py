"""Recording what watchers are told, and the six properties that a recording must have.

A watch is ordered, unique, reliable, atomic, resumable and bookmarkable (etcd's "Watch APIs" guarantees, which
Kubernetes passes on). `Recorder` is a client as careful as a reflector: it lists, watches, goes on from the
last revision it was told after every end, and lists again only on 410.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import orjson

from tests.integration.process import ControlPlane

# Seconds. A bookmark comes two seconds before the end.
WATCH_LASTS = 4


@dataclass(frozen=True)
class Seen:
    """One event; a bookmark has no name."""

    type: str
    name: str
    revision: int
    data: Mapping[str, str]


@dataclass
class Stretch:
    """What was told between two lists: the list's revision and state, then events and bookmarks in order."""

    start: int
    listed: dict[str, int]
    events: list[Seen] = field(default_factory=list)

    @property
    def reached(self) -> int:
        """Everything up to here has been told."""
        return self.events[-1].revision if self.events else self.start

    def replayed(self) -> dict[str, int]:
        """Name → revision, as the events leave it."""
        state = dict(self.listed)
        for event in self.events:
            if event.type == "DELETED":
                state.pop(event.name)
            elif event.type != "BOOKMARK":
                state[event.name] = event.revision
        return state


class Recorder(threading.Thread):
    """Follows one collection over several servers in turn, until it has reached `goal` (set when writing has ended)."""

    def __init__(self, servers: Sequence[ControlPlane], path: str, selector: str = "", first: int = 0) -> None:
        super().__init__(daemon=True)
        self._servers, self._path, self._selector, self._turn = servers, path, selector, first
        self.stretches: list[Stretch] = []
        self.goal: int | None = None
        self.streams = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._finished():
                try:
                    self._follow()
                except (OSError, HTTPException, ValueError):
                    pass  # The server has gone, perhaps in the middle of a line.
        except BaseException as error:
            self.error = error

    def _finished(self) -> bool:
        return self.goal is not None and bool(self.stretches) and self.stretches[-1].reached >= self.goal

    def _follow(self) -> None:
        self._turn += 1
        server = self._servers[self._turn % len(self._servers)]
        if not self.stretches:
            self._list(server)
        stretch = self.stretches[-1]
        query = f"watch=1&allowWatchBookmarks=1&resourceVersion={stretch.reached}&timeoutSeconds={WATCH_LASTS}"
        connection = server.connect(timeout=60)
        try:
            connection.request("GET", f"{self._path}?{query}{self._selector}")
            answer = connection.getresponse()
            if answer.status != 200:
                return
            self.streams += 1
            for line in iter(answer.readline, b""):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    assert event["object"]["code"] == 410, event
                    self._list(server)
                    return
                stretch.events.append(_seen(event))
                if self._finished():
                    return
        finally:
            connection.close()

    def _list(self, server: ControlPlane) -> None:
        answer = server.request("GET", f"{self._path}?{self._selector}")
        assert answer.code in (200, 503, 504), answer.body
        if answer.code == 200:
            items = answer.json["items"]
            state = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in items}
            self.stretches.append(Stretch(int(answer.json["metadata"]["resourceVersion"]), state))


def _seen(event: Any) -> Seen:
    meta = event["object"]["metadata"]
    return Seen(event["type"], meta.get("name", ""), int(meta["resourceVersion"]), event["object"].get("data") or {})


def check_order(stretch: Stretch) -> None:
    """Ordered and unique: revisions go up, and each change comes once. A bookmark repeats nothing and hides nothing."""
    reached = stretch.start
    for event in stretch.events:
        if event.type == "BOOKMARK":
            assert event.revision >= reached, f"a bookmark at {event.revision} after {reached}"
        else:
            assert event.revision > reached, f"{event} after {reached}"
        reached = event.revision


def check_transitions(stretch: Stretch) -> None:
    """Reliable: nothing is added that is there, or changed or deleted that is not."""
    present = set(stretch.listed)
    for event in stretch.events:
        if event.type == "ADDED":
            assert event.name not in present, event
            present.add(event.name)
        elif event.type == "MODIFIED":
            assert event.name in present, event
        elif event.type == "DELETED":
            assert event.name in present, event
            present.remove(event.name)


def check_complete(stretch: Stretch, written: Iterable[int]) -> None:
    """Reliable: every write that was acknowledged in the time of the stretch has been told."""
    told = {event.revision for event in stretch.events if event.type != "BOOKMARK"}
    missed = [revision for revision in written if stretch.start < revision <= stretch.reached and revision not in told]
    assert not missed, f"never told: {missed}"


def check_alike(stretches: Sequence[Stretch]) -> None:
    """Everybody who watches the same is told the same, whatever server and stream it came by."""
    longest = max(stretches, key=lambda stretch: len(stretch.events))
    whole = [event for event in longest.events if event.type != "BOOKMARK"]
    for stretch in stretches:
        begin, end = max(stretch.start, longest.start), min(stretch.reached, longest.reached)
        mine = [event for event in stretch.events if event.type != "BOOKMARK" and begin < event.revision <= end]
        theirs = [event for event in whole if begin < event.revision <= end]
        assert mine == theirs
