"""kube-apiserver: from the command line to a running server."""

from __future__ import annotations

import sys

from apimachinery.kit import collector, logs, process, tasks, trust
from apimachinery.kit.config import ConfigError, exit_with
from controlplane.apiserver.config import parse


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM. Exit codes: 0 stopped, 1 failed, 2 a wrong command line."""
    words = sys.argv[1:] if argv is None else argv
    try:
        config = parse(words)
    except ConfigError as error:
        exit_with("kube-apiserver", error)
    logs.setup(config.verbosity)
    process.set_title("kube-apiserver", words)
    with collector.loading():  # the flags are told wrong before anything heavy is loaded
        trust.load_aiohttp_without_system_authorities()
        from apimachinery.api.schema import SCHEMA
        from controlplane.apiserver.wire import build
    try:
        SCHEMA.require()
    except ConfigError as error:
        exit_with("kube-apiserver", error)
    return tasks.run_daemon(build(config).run)
