"""`python -m bench.untold MODULE ARGUMENT…`: a component of ours that notes nothing for `kubelab trace`.

No flag does that: a switch that must be thrown before the accident would be off when it is needed. So what notes is
taken out of the process before the component is imported.
"""

from __future__ import annotations

import runpy
import sys

from apimachinery.kit import trace


def main(module: str, *arguments: str) -> None:
    trace.use = _forget
    if module == "controlplane.apiserver":
        from controlplane.apiserver.front.server import Front

        Front._noted = Front._answer  # type: ignore[method-assign]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _forget(trace: trace.Trace | None) -> None:
    """In the place of trace.use: no task has a ring."""


if __name__ == "__main__":
    main(*sys.argv[1:])
