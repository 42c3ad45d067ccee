"""A rehearsal: what a piece of code would write, told by the API server itself.

Inside `rehearsing()` every write of every client goes out as a dry run (dryRun=All): defaulted, admitted and validated
like the real one, but not stored. What has been written so is kept, and answers later requests about what does not
exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery.meta.status import ApiError

Object = dict[str, Any]
Send = Callable[[str, str, Mapping[str, str], Any, str], Awaitable[bytes]]


@dataclass(slots=True)
class Write:
    """One write. before: the object as it is, if it is. after: as the server would store it. error: its refusal.

    does: instead of a request, what is done outside the API, in words.
    """

    method: str
    path: str
    body: Any
    before: Object | None = None
    after: Object | None = None
    error: str = ""
    does: str = ""


@dataclass(slots=True)
class Rehearsal:
    """What was written, in order, and the events that would have been recorded: (type, reason, message)."""

    writes: list[Write] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    _made: dict[str, Object] = field(default_factory=dict)

    def act(self, does: str) -> None:
        """Note what would be done outside the API. Whoever would do it asks `rehearsal` first."""
        self.writes.append(Write("", "", None, does=does))

    async def perform(
        self, send: Send, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str
    ) -> bytes:
        """Do a request as a dry run; reads are done as they are. Raises what `send` raises."""
        imagined = self._imagined(path)
        if imagined is not None:
            return self._change(method, path, body, imagined)
        if method == "GET":
            return await send(method, path, query, body, content_type)
        write = Write(method, path, body)
        self.writes.append(write)
        if method in ("PUT", "PATCH", "DELETE"):
            write.before = await self._current(send, path)
        if method == "DELETE":
            # A server that reads the options from the body looks at no query.
            body = {**(body or {}), "dryRun": ["All"]}
        try:
            answer = await send(method, path, {**query, "dryRun": "All"}, body, content_type)
        except ApiError as error:
            write.error = error.message
            raise
        after: Object = orjson.loads(answer)
        if method != "DELETE":
            write.after = after
        name = (after.get("metadata") or {}).get("name")
        if method == "POST" and name and after.get("kind") != "Status":
            self._made[f"{path}/{name}"] = after
        return answer

    def _imagined(self, path: str) -> str | None:
        """The path of the object, made in this rehearsal, that `path` or its parent names."""
        return next((made for made in (path, path.rpartition("/")[0]) if made in self._made), None)

    def _change(self, method: str, path: str, body: Any, imagined: str) -> bytes:
        obj = self._made[imagined]
        if method == "GET":
            return orjson.dumps(obj)
        after = body if method == "PUT" else obj
        self.writes.append(Write(method, path, body, obj, None if method == "DELETE" else after))
        if method == "DELETE":
            del self._made[imagined]
        elif method == "PUT":
            self._made[imagined] = after
        return orjson.dumps(after)

    async def _current(self, send: Send, path: str) -> Object | None:
        words = path.strip("/").split("/")
        # What is below the object's own path, /api/v1/namespaces/NS/pods/NAME, is a subresource.
        root = 2 if words[0] == "api" else 3
        below = words[root:]
        whole = 4 if below[:1] == ["namespaces"] and len(below) >= 4 else 2
        try:
            found: Object = orjson.loads(await send("GET", "/" + "/".join(words[: root + whole]), {}, None, ""))
        except ApiError:
            return None
        return found


_REHEARSAL: ContextVar[Rehearsal | None] = ContextVar("rehearsal", default=None)


def rehearsal() -> Rehearsal | None:
    """The rehearsal that this task is in."""
    return _REHEARSAL.get()


@contextmanager
def rehearsing() -> Iterator[Rehearsal]:
    """Nothing that is written inside, by this task and those that it makes, is stored."""
    made = Rehearsal()
    token = _REHEARSAL.set(made)
    try:
        yield made
    finally:
        _REHEARSAL.reset(token)
