"""The one-process control plane: from the command line to running."""

from __future__ import annotations

import sys

from apimachinery.kit import collector, logs, process, tasks, trust
from apimachinery.kit.config import or_exit
from controlplane.allinone.config import parse


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM. Exit codes: 0 stopped, 1 failed, 2 a wrong command line."""
    words = sys.argv[1:] if argv is None else argv
    with or_exit("control-plane", code=2):
        config = parse(words)
    logs.setup(config.verbosity)
    process.set_title("kubelab-control-plane", words)
    with collector.loading():  # the flags are told wrong before anything heavy is loaded
        trust.load_aiohttp_without_system_authorities()
        from apimachinery.api.schema import SCHEMA
        from controlplane.allinone.wire import build
    with or_exit("control-plane", code=2):
        SCHEMA.require()
    return tasks.run_daemon(build(config).run)
