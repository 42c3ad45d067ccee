"""Completion indexes of a Job, and how often each has failed. Pure (KEP-2214, KEP-3850)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.meta import objects

Object = dict[str, Any]

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_INT32 = 2**31 - 1


def is_indexed(job: Object) -> bool:
    """True for completionMode Indexed."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_limited_per_index(job: Object) -> bool:
    """True when each index has a backoff limit of its own."""
    return is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None


def index_of(pod: Object) -> int | None:
    """Return the pod's completion index, or None."""
    return _number(objects.annotations(pod).get(INDEX))


def valid_index(job: Object, pod: Object) -> int | None:
    """Return the pod's completion index if it is one of the Job's, otherwise None."""
    index = index_of(pod)
    return index if index is not None and index < int(job["spec"].get("completions") or 0) else None


def failures_of(pod: Object) -> tuple[int, int]:
    """Return how many pods of its index failed before this one: those that count, and those that were ignored."""
    found = objects.annotations(pod)
    counted, ignored = _number(found.get(FAILURES)), _number(found.get(IGNORED_FAILURES))
    return min(counted or 0, _INT32), min(ignored or 0, _INT32)


def parse_indexes(text: str, limit: int) -> set[int]:
    """Parse `1,3-5,7`: the indexes below `limit`. Unreadable parts are ignored."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = _number(first), _number(last if dash else first)
        if begin is not None and end is not None:
            found.update(range(begin, min(end, limit - 1) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """Write indexes as upstream does: `1,3-5,7`; two neighbours are written with a comma."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1][1:] = [index]
        else:
            runs.append([index])
    return ",".join(_run(run[0], run[-1]) for run in runs)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 12 else None
