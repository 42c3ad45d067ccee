"""Log lines as CoreDNS writes them to stdout: `[INFO] plugin/reload: Running configuration SHA512 = …`."""

from __future__ import annotations

import logging
import sys

_WORDS = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR"}
_OURS = "nodeagent.dns."


class CorednsFormatter(logging.Formatter):
    """A logger `plugin/NAME`, or one of a module here, is told of as the plugin."""

    def format(self, record: logging.LogRecord) -> str:
        plugin = ""
        if record.name.startswith("plugin/"):
            plugin = f"{record.name}: "
        elif record.name.startswith(_OURS):
            plugin = f"plugin/{record.name.removeprefix(_OURS)}: "
        line = f"[{_WORDS.get(record.levelno, 'FATAL')}] {plugin}{record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def setup(verbosity: int = 0) -> None:
    """Send the process's log to stdout. verbosity: 4 and more shows debug lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(CorednsFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    for noisy in ("asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
