"""kube-controller-manager's command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from apimachinery.kit import collector, logs, process, trust
from apimachinery.kit.config import ConfigError, exit_with
from apimachinery.kit.tasks import run_daemon
from controlplane.controllers import config


def main(argv: Sequence[str] | None = None) -> int:
    """Run the controllers until SIGTERM; returns the exit code (2: the configuration is wrong)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = config.parse(arguments)
    except ConfigError as error:
        exit_with("kube-controller-manager", error)
    logs.setup(options.verbosity)
    process.set_title("kube-controller-manager", arguments)
    with collector.loading():  # the flags are told wrong before anything heavy is loaded
        trust.load_aiohttp_without_system_authorities()
        from controlplane.controllers import wire
    return run_daemon(wire.build(options).run)
