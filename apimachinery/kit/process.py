"""How a process shows itself to `ps`, `pgrep` and the benchmarks that read process lists, and to the kernel."""

from __future__ import annotations

import logging
import resource
from collections.abc import Sequence
from pathlib import Path

import setproctitle

log = logging.getLogger(__name__)

_COMM_MAX = 15  # TASK_COMM_LEN of the kernel less the NUL


def set_title(name: str, argv: Sequence[str]) -> None:
    """Make the process's command line read `name argv…` and its comm `name`, as the real component's."""
    setproctitle.setproctitle(" ".join([name, *argv]))
    setproctitle.setthreadtitle(name[:_COMM_MAX])


def set_oom_score_adj(value: int) -> None:
    """How soon the kernel ends this process when memory is short: -1000 (never) to 1000. Children inherit it.

    Lowering it takes a right that not every machine gives; then it stays as it is.
    """
    try:
        Path("/proc/self/oom_score_adj").write_text(str(value))
    except OSError as error:
        log.info("cannot set oom_score_adj to %d: %s", value, error)


def set_open_files(most: int) -> None:
    """How many files this process may have open. Children inherit it.

    More than the limit that it was given takes a right that not every machine gives; then it may have as many as that.
    """
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError) as error:
        log.info("cannot set the limit of open files to %d: %s", most, error)
        _, given = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, given))
