"""coredns: `python -m nodeagent.dns --conf /etc/coredns/Corefile`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from apimachinery.kit import collector, process, trust
from apimachinery.kit.config import ConfigError
from apimachinery.kit.tasks import run_daemon
from nodeagent.dns import logs
from nodeagent.dns.config import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after SIGTERM, 1 for a failure or a bad configuration."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        config = parse(argv)
    except ConfigError as error:
        print(error.problems[0], file=sys.stderr)  # as CoreDNS, which ends at the first and does not say its name
        return 1
    logs.setup(config.verbosity)
    process.set_title("coredns", argv)
    with collector.loading():
        trust.load_aiohttp_without_system_authorities()
        from nodeagent.dns.wire import build
    return run_daemon(build(config).run)
