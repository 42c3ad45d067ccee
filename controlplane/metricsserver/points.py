"""What one kubelet said at one moment: /metrics/resource read into points. Pure (pkg/scraper/client/resource)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Pod = tuple[str, str]
"""Namespace and name."""

_CPU, _MEMORY = "_cpu_usage_seconds_total", "_memory_working_set_bytes"
_SAMPLE = re.compile(rb"^(node|container)(_cpu_usage_seconds_total|_memory_working_set_bytes|_start_time_seconds)"
                     rb"(?:\{([^}]*)\})? (\S+)(?: (\d+))?$", re.MULTILINE)  # fmt: skip
_LABEL = re.compile(rb'([a-z]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Point:
    """cpu: seconds since the start. memory: bytes. at, started: seconds since the epoch; started is 0 if unknown."""

    at: float
    cpu: float
    memory: int
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """All points of one node. node: None when it was not told whole. pods: container name → point."""

    node: Point | None
    pods: Mapping[Pod, Mapping[str, Point]] = field(default_factory=dict)


def parse_batch(text: bytes, now: float) -> Batch:
    """Read an exposition. A container of which cpu or memory is missing or zero makes its whole pod be left out.

    now: the time of samples that tell none. Raises ValueError for a sample that is no number.
    """
    values: dict[tuple[str, ...], dict[str, float]] = {}
    for of, what, labels, number, stamp in _SAMPLE.findall(text):
        named = dict(_LABEL.findall(labels))
        key: tuple[str, ...] = ()
        if of == b"container":
            key = tuple(named.get(name, b"").decode() for name in (b"namespace", b"pod", b"container"))
        point = values.setdefault(key, {})
        point[what.decode()] = float(number)
        if what == _CPU.encode():
            point["at"] = int(stamp) / 1000 if stamp else now
    node = _point(values.pop((), {}))
    pods: dict[Pod, dict[str, Point]] = {}
    broken = set()
    for (namespace, pod, container), found in values.items():
        point_of = _point(found)
        if point_of is None:
            broken.add((namespace, pod))
        else:
            pods.setdefault((namespace, pod), {})[container] = point_of
    return Batch(node, {name: containers for name, containers in pods.items() if name not in broken})


def _point(found: Mapping[str, float]) -> Point | None:
    cpu, memory = found.get(_CPU, 0.0), found.get(_MEMORY, 0.0)
    if not cpu or not memory:
        return None
    return Point(found["at"], cpu, int(memory), found.get("_start_time_seconds", 0.0))
