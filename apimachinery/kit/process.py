"""How a process shows itself to `ps`, `pgrep` and the benchmarks that read process lists."""

from __future__ import annotations

from collections.abc import Sequence

import setproctitle

_COMM_MAX = 15  # TASK_COMM_LEN of the kernel less the NUL


def set_title(name: str, argv: Sequence[str]) -> None:
    """Make the process's command line read `name argv…` and its comm `name`, as the real component's."""
    setproctitle.setproctitle(" ".join([name, *argv]))
    setproctitle.setthreadtitle(name[:_COMM_MAX])
