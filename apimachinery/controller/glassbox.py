"""The glass box of a component: its loops, which can be paused, listed and stepped through, and what it did of late.

One small protocol of paths, so that it is the same behind a component's own port and inside one process with the API
server (`/debug/components/NAME/…` there, `/debug/…` here):

    GET  loops                 every loop and its queue
    GET  loops/LOOP            one
    POST loops/LOOP/pause      take no further key (and loops/LOOP/resume)
    POST loops/LOOP/rehearse   what the next key's turn would do; ?key= names another
    POST loops/LOOP/step       its turn, paused or not
    GET  trace                 the ring of apimachinery.kit.trace
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from apimachinery.kit.trace import Trace
from apimachinery.meta import status

Object = dict[str, Any]

SHOWN_MAX = 200
"""Keys of one part of a queue that are listed; all are counted."""


class Loop(Protocol):
    """What can be stepped through."""

    name: str

    def describe(self) -> Object:
        """name, paused, ready, working, later: see `describe_queue`."""

    def pause(self) -> None:
        """Begin nothing more; what is under way is finished."""

    def resume(self) -> None: ...

    async def rehearse(self, key: str) -> Object:
        """What the turn of a key ("" is the next) would do. {} when there is none."""

    async def step(self, key: str) -> Object:
        """The turn of a key ("" is the next). {} when there is none."""


def describe_queue(name: str, *, paused: bool, ready: list[str], working: list[str], later: list[Object]) -> Object:
    """A loop as the protocol tells it. later: key, after (seconds; None: not by itself), failures."""
    counts = {"ready": len(ready), "working": len(working), "later": len(later)}
    shown: Object = {"ready": ready[:SHOWN_MAX], "working": working[:SHOWN_MAX], "later": later[:SHOWN_MAX]}
    return {"name": name, "paused": paused, "counts": counts, **shown}


class GlassBox:
    """Answers the protocol. `loops` is filled when this process leads, and emptied when it no longer does."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._loops: dict[str, Loop] = {}
        self._turn = asyncio.Lock()

    def show(self, loops: Iterable[Loop]) -> None:
        """These are the loops from now on."""
        self._loops = {loop.name: loop for loop in loops}

    async def answer(self, method: str, path: str, query: Mapping[str, str]) -> Object:
        """path: as above. Raises ApiError 404, 405."""
        words = path.strip("/").split("/")
        if words == ["trace"]:
            _only("GET", method)
            return self.trace.document()
        if words[0] != "loops" or len(words) > 3:
            raise status.path_not_found()
        if len(words) == 1:
            _only("GET", method)
            loops = [loop.describe() for loop in self._loops.values()]
            return {"component": self.trace.component, "leading": bool(self._loops), "loops": loops}
        loop = self._loops.get(words[1])
        if loop is None:
            there = ", ".join(self._loops) or "none (another process leads)"
            raise status.ApiError(404, "NotFound", f'no loop "{words[1]}"; there are: {there}', {})
        if len(words) == 2:
            _only("GET", method)
            return loop.describe()
        _only("POST", method)
        return await self._do(loop, words[2], query.get("key", ""))

    async def _do(self, loop: Loop, what: str, key: str) -> Object:
        match what:
            case "pause":
                loop.pause()
                return loop.describe()
            case "resume":
                loop.resume()
                return loop.describe()
            case "rehearse" | "step":
                async with self._turn:  # two people at two terminals take turns
                    return await (loop.rehearse(key) if what == "rehearse" else loop.step(key))
        raise status.path_not_found()


def _only(wanted: str, method: str) -> None:
    if method != wanted:
        sentence = "the server does not allow this method on the requested resource"
        raise status.ApiError(405, "MethodNotAllowed", sentence, {})
