"""What it costs that every component remembers what it did, for `kubelab trace`, while nobody asks.

The same work on two control planes of three processes on SQLite, in turns: ours, and ours with the notes taken out.
CPU is that of all three, until the controllers have come to rest.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.api_load import drive, request
from bench.api_rows import CONNECTIONS, PATH, pod
from bench.api_server import Credentials
from bench.components import Components, running
from bench.controllers import create, settle
from bench.figure import Figure, p50
from bench.scheduler import add_nodes

NODES, ROUNDS, REPLICAS, PODS = 5, 9, 100, 500
AIM = 1.05


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-trace-") as name:
        credentials = Credentials(Path(name))
        with (
            running("sqlite", Path(name) / "noted", credentials) as noted,
            running("sqlite", Path(name) / "untold", credentials, notes=False) as untold,
        ):
            for components in (noted, untold):
                add_nodes(components.server, NODES)
            replicas = _compare((noted, untold), _replicas)
            pods = _compare((noted, untold), _pods)
    floor = "without notes"
    return [
        Figure("CPU of the three a replica, made, bound, deleted", replicas[0], "ms", floor, replicas[1], AIM),
        Figure("CPU of the three a pod, created and deleted by a client", pods[0], "ms", floor, pods[1], AIM),
    ]


def _compare(stacks: tuple[Components, Components], work: Callable[[Components, int], int]) -> tuple[float, float]:
    """Milliseconds of CPU that a piece of `work` takes on either, p50. The first round warms up, and does not count.

    They take turns in being first: the second finds the machine warmer.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        pairs = list(zip(stacks, found, strict=True))
        for components, samples in pairs if number % 2 else reversed(pairs):
            before = components.cpu()
            pieces = work(components, number)
            settle(components)
            samples.append((components.cpu() - before) / pieces * 1e3)
    for name, samples in zip(("noted", "untold"), found, strict=True):
        print(f"{work.__name__}, {name}: {' '.join(f'{each:.3f}' for each in samples)} ms", file=sys.stderr)
    return p50(found[0][1:]), p50(found[1][1:])


def _replicas(components: Components, number: int) -> int:
    create(components, f"web-{number}", REPLICAS)
    return REPLICAS


def _pods(components: Components, number: int) -> int:
    connections = components.server.connect(CONNECTIONS, "admin")
    names = range(number * PODS, (number + 1) * PODS)
    drive(connections, (request("POST", f"{PATH}/pods", pod(each)) for each in names))
    now = json.dumps({"gracePeriodSeconds": 0}).encode()
    bodies = (json.loads(pod(each))["metadata"]["name"] for each in names)
    drive(connections, (request("DELETE", f"{PATH}/pods/{name}", now) for name in bodies))
    for connection in connections:
        connection.close()
    return PODS
