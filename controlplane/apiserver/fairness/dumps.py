"""/debug/api_priority_and_fairness/dump_*: what the levels hold now (apf_controller_debug.go).

Every request is one seat. Work is shown in seat-seconds, as if each took what upstream takes for the time of a request
before it has run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from apimachinery.meta import times
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.fairness.controller import Fairness
from controlplane.apiserver.fairness.matching import distinguisher

_ROOT = "/debug/api_priority_and_fairness/dump_"
_REQUEST_SECONDS = 0.003
_NEVER = "0001-01-01T00:00:00Z"
_DETAILS = "includeRequestDetails"
_LEVELS = (
    "PriorityLevelName ActiveQueues IsIdle IsQuiescing WaitingRequests ExecutingRequests DispatchedRequests "
    "RejectedRequests TimedoutRequests CancelledRequests"
)
_QUEUES = (
    "PriorityLevelName Index PendingRequests ExecutingRequests SeatsInUse NextDispatchR InitialSeatsSum MaxSeatsSum "
    "TotalWorkSum"
)
_REQUESTS = (
    "PriorityLevelName FlowSchemaName QueueIndex RequestIndexInQueue FlowDistingsher ArriveTime InitialSeats "
    "FinalSeats AdditionalLatency StartTime"
)
_OF_A_REQUEST = " UserName Verb APIPath Namespace Name APIVersion Resource SubResource"

Row = tuple[object, ...]


def dumps(fairness: Fairness) -> dict[str, Callable[[Mapping[str, str]], str]]:
    """Path → what it answers to a query."""

    def requests(query: Mapping[str, str]) -> str:
        detailed = bool(query.get(_DETAILS))
        width = len((head := _REQUESTS + _OF_A_REQUEST * detailed).split())
        return _table(head, (row[:width] for row in _requests(fairness)))

    return {
        f"{_ROOT}priority_levels": lambda _: _table(_LEVELS, _levels(fairness)),
        f"{_ROOT}queues": lambda _: _table(_QUEUES, _queues(fairness)),
        f"{_ROOT}requests": requests,
    }


def _levels(fairness: Fairness) -> Iterable[Row]:
    for name, level in sorted(fairness.levels.items()):
        active = sum(1 for queue in level.queues if queue.requests)
        idle = "true" if not level.executing and not level.waiting else "false"
        counts = (level.waiting, level.executing, level.dispatched, level.rejected, level.timed_out, level.cancelled)
        yield (name, active, idle, "false", *counts)


def _queues(fairness: Fairness) -> Iterable[Row]:
    for name, level in sorted(fairness.levels.items()):
        for index, queue in enumerate(level.queues):
            waiting, running = len(queue.requests), queue.executing
            yield name, index, waiting, running, running, _work(queue.served), waiting, waiting, _work(waiting)


def _requests(fairness: Fairness) -> Iterable[Row]:
    """Those that wait, and those that run: their places are -1."""
    for name, level in sorted(fairness.levels.items()):
        places = {id(queue): index for index, queue in enumerate(level.queues)}
        for index, queue in enumerate(level.queues):
            for position, waiting in enumerate(queue.requests):
                flow = waiting.flow.partition("/")[2]
                seats = _time(waiting.since), 1, 0, "0s", _NEVER
                yield name, waiting.schema, index, position, flow, *seats, *_details(waiting.asked)
        for seat in fairness.running:
            if seat.flow.level is level:
                schema, queued = seat.flow.schema, places.get(id(seat.queue), -1)
                seats = _time(seat.arrived), 1, 0, "0s", _time(seat.started)
                flow = distinguisher(schema, seat.asked)
                yield name, schema["metadata"]["name"], queued, -1, flow, *seats, *_details(seat.asked)


def _details(asked: Attributes) -> Row:
    version = f"{asked.group}/{asked.version}" if asked.group else asked.version
    about = asked.namespace, asked.name, version, asked.resource, asked.subresource
    return asked.user.name, asked.verb, asked.path, *about


def _work(requests: float) -> str:
    return f"{requests * _REQUEST_SECONDS:.8f}ss"


def _time(monotonic: float) -> str:
    ago = time.monotonic() - monotonic
    return times.rfc3339_micro(datetime.now(UTC) - timedelta(seconds=ago))


def _table(head: str, rows: Iterable[Row]) -> str:
    """Cells with a comma behind them, in columns eight wide or more, as Go's tabwriter lays them out."""
    lines = [head.split(), *([str(cell) for cell in row] for row in rows)]
    widths = [max(8, *(len(line[column]) + 2 for line in lines)) for column in range(len(lines[0]) - 1)]
    return "".join(
        "".join(f"{cell},".ljust(width) for cell, width in zip(line, widths, strict=False)) + line[-1] + "\n"
        for line in lines
    )
