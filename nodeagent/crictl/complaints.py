"""What goes wrong, as operators know it: logrus's `FATA[0000] …` and klog's `E1121 …` on stderr."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLOURS = {"fatal": 31, "error": 31, "warning": 33, "info": 36, "debug": 37}
_STARTED = time.monotonic()
debugging = False


class Failed(Exception):
    """The command has failed; the text is told with FATA, and the exit code is 1."""


class Exit(Exception):
    """End with `code`, saying the text as it is."""

    def __init__(self, text: str, code: int) -> None:
        self.code = code
        super().__init__(text)


def say(level: str, text: str) -> None:
    """A line of logrus's: coloured on a terminal, key=value elsewhere. level: fatal, error, warning, info, debug."""
    if level == "debug" and not debugging:
        return
    if sys.stderr.isatty():
        since = int(time.monotonic() - _STARTED)
        word = level.upper()[:4]
        print(f"\x1b[{_COLOURS[level]}m{word}\x1b[0m[{since:04d}] {text:<44} ", file=sys.stderr)
        return
    import json

    zone = time.strftime("%z")
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    when = time.strftime("%Y-%m-%dT%H:%M:%S") + zone
    print(f'time="{when}" level={level} msg={json.dumps(text, ensure_ascii=False)}', file=sys.stderr)


def klog_error(sentence: str, error: str, fields: dict[str, Any]) -> None:
    """A line of cri-client's: `E1121 02:22:31.123456   4711 log.go:32] "…" err="…"`."""
    import json

    now = time.time()
    head = time.strftime("%m%d %H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1e6):06d} {os.getpid():7d}"
    parts = [f"err={json.dumps(error, ensure_ascii=False)}"]
    parts += [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    print(f'E{head} log.go:32] "{sentence}" {" ".join(parts)}', file=sys.stderr)
