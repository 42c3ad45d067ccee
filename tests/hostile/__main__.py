"""`python -m tests.hostile [--count N] [--seed N] [--store sqlite|etcd]`: attack a control plane of its own.

Exit code 1 when anything was the server's fault: a 5xx, a traceback, a hang, memory that grows, something stored.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.check import attacked
from tests.integration.process import ControlPlane, running_etcd


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--store", choices=("sqlite", "etcd"), default="sqlite")
    options = parser.parse_args()
    with contextlib.ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="kubelab-hostile-")))
        store = undo.enter_context(running_etcd(directory / "etcd")) if options.store == "etcd" else "sqlite"
        plane = ControlPlane(directory / "data", store)
        plane.start()
        undo.callback(plane.kill)
        outcome, problems = attacked(plane, options.count, options.seed)
    print(
        f"seed {options.seed}: {outcome.sent:,} requests in {outcome.seconds:.0f} s, slowest {outcome.slowest:.2f} s, "
        f"answers {dict(sorted(outcome.codes.items()))}, memory {outcome.memory[0]:.0f} → {outcome.memory[1]:.0f} MB"
    )
    for problem in problems:
        print(f"- {problem}", file=sys.stderr)
    return 1 if problems else 0


raise SystemExit(main())
