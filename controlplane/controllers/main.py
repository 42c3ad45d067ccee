"""kube-controller-manager's command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from apimachinery.kit import collector, logs, process, trust
from apimachinery.kit.config import or_exit
from apimachinery.kit.tasks import problems_logged, run_daemon
from controlplane.controllers import config


def main(argv: Sequence[str] | None = None) -> int:
    """Run the controllers until SIGTERM; returns the exit code (1: the configuration is wrong)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logs.setup()  # for what is said of the command line
    with or_exit("kube-controller-manager"), problems_logged():
        options = config.parse(arguments)
    logs.setup(options.verbosity)
    process.set_title("kube-controller-manager", arguments)
    with collector.loading():  # the flags are told wrong before anything heavy is loaded
        trust.load_aiohttp_without_system_authorities()
        from controlplane.controllers import wire
    return run_daemon(wire.build(options).run)
