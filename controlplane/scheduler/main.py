"""kube-scheduler's command line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from apimachinery.kit import collector, logs, process, trust
from apimachinery.kit.config import or_exit
from apimachinery.kit.tasks import problems_logged, run_daemon, tell_failure
from controlplane.scheduler import config

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scheduler until SIGTERM; returns the exit code (1: the configuration is wrong)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logs.setup()  # for what is said of the command line
    with or_exit("kube-scheduler"), problems_logged():
        options = config.parse(arguments)
    logs.setup(options.verbosity)
    if options.write_to is not None:
        return _write_config(options, options.write_to)
    process.set_title("kube-scheduler", arguments)
    with collector.loading():  # the flags are told wrong before anything heavy is loaded
        trust.load_aiohttp_without_system_authorities()
        from controlplane.scheduler import wire
    return run_daemon(wire.build(options).run)


def _write_config(options: config.SchedulerConfig, path: Path) -> int:
    from controlplane.scheduler.config_written import written  # only who wants a file needs it

    try:
        path.write_text(written(options))
    except OSError as error:
        tell_failure(f"open {path}: {(error.strerror or str(error)).lower()}")
        return 1
    log.info('"Wrote configuration" file="%s"', path)
    return 0
