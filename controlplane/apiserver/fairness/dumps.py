"""/debug/api_priority_and_fairness/dump_*: what the levels hold now (apf_controller_debug.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from controlplane.apiserver.fairness.controller import Fairness

_ROOT = "/debug/api_priority_and_fairness/dump_"


def dumps(fairness: Fairness) -> dict[str, Callable[[], str]]:
    """Path → what it answers."""
    return {
        f"{_ROOT}priority_levels": lambda: _table(
            "PriorityLevelName ActiveQueues IsIdle IsQuiescing WaitingRequests ExecutingRequests DispatchedRequests "
            "RejectedRequests TimedoutRequests CancelledRequests",
            _levels(fairness),
        ),
        f"{_ROOT}queues": lambda: _table(
            "PriorityLevelName Index PendingRequests ExecutingRequests VirtualStart", _queues(fairness)
        ),
        f"{_ROOT}requests": lambda: _table(
            "PriorityLevelName FlowSchemaName QueueIndex RequestIndexInQueue FlowDistingsher ArriveTime Request",
            _requests(fairness),
        ),
    }


def _levels(fairness: Fairness) -> Iterable[tuple[object, ...]]:
    for name, level in sorted(fairness.levels.items()):
        active = sum(1 for queue in level.queues if queue.requests or queue.executing)
        idle = "true" if not level.executing and not level.waiting else "false"
        counts = (level.waiting, level.executing, level.dispatched, level.rejected, level.timed_out, level.cancelled)
        yield (name, active, idle, "false", *counts)


def _queues(fairness: Fairness) -> Iterable[tuple[object, ...]]:
    for name, level in sorted(fairness.levels.items()):
        for index, queue in enumerate(level.queues):
            yield name, index, len(queue.requests), queue.executing, f"{queue.served:.4f}"


def _requests(fairness: Fairness) -> Iterable[tuple[object, ...]]:
    for name, level in sorted(fairness.levels.items()):
        for index, queue in enumerate(level.queues):
            for position, waiting in enumerate(queue.requests):
                flow = waiting.flow.partition("/")[2]
                yield name, waiting.schema, index, position, flow, f"{waiting.since:.6f}", waiting.about


def _table(head: str, rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head.split(), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "".join(
        ", ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
