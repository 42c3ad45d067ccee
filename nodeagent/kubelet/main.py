"""`kubelet`: read the configuration, build, run."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from apimachinery.kit import collector, logs, process, trust
from apimachinery.kit.config import or_exit
from apimachinery.kit.tasks import cancel_and_wait, problems_logged, run_daemon, wait_first

from . import config as configuration

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the kubelet until SIGTERM; returns the exit code, 1 for a bad configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with or_exit("kubelet"), problems_logged():
        config = configuration.load(arguments)
    process.set_title("kubelet", arguments)
    logs.setup(config.verbosity)
    for warning in config.warnings:
        log.warning("%s", warning)
    process.set_oom_score_adj(config.oom_score_adj)
    process.set_open_files(config.max_open_files)

    with collector.loading():
        trust.load_aiohttp_without_system_authorities()
        from .wire import build

    async def body(stop: asyncio.Event) -> None:
        # Joining the cluster may wait for somebody's approval.
        building = asyncio.create_task(build(config))
        await wait_first(stop, building)
        if building.done():
            await building.result().run(stop)
        else:
            await cancel_and_wait(building)

    # Some of it is only known to be wrong when the machine is looked at.
    with problems_logged():
        return run_daemon(body)
