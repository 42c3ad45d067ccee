"""coredns: `python -m nodeagent.dns --conf /etc/coredns/Corefile`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from apimachinery.kit import collector, process, trust
from apimachinery.kit.config import or_exit
from apimachinery.kit.tasks import run_daemon
from nodeagent.dns import logs
from nodeagent.dns.config import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after SIGTERM, 1 for a failure or a bad configuration."""
    argv = sys.argv[1:] if argv is None else argv
    with or_exit("coredns"):
        config = parse(argv)
    logs.setup(config.verbosity)
    process.set_title("coredns", argv)
    with collector.loading():
        trust.load_aiohttp_without_system_authorities()
        from nodeagent.dns.wire import build
    return run_daemon(build(config).run)
