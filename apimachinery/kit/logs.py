"""Log lines in klog's format, the one of every Kubernetes component.

`I1121 02:22:31.123456    4711 loop.py:42] synced` (https://github.com/kubernetes/klog, the header of a line).
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime

_LETTER = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class KlogFormatter(logging.Formatter):
    """One line a record; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created)
        head = f"{_LETTER.get(record.levelno, 'I')}{when:%m%d %H:%M:%S.%f} {record.process:7d}"
        line = f"{head} {record.filename}:{record.lineno}] {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def setup(verbosity: int = 0) -> None:
    """Send the process's log to stderr. verbosity: `--v` of the component; 4 and more shows debug lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KlogFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    for noisy in ("asyncio", "aiohttp.access", "pyroute2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
