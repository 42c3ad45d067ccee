"""The process of a plugin: stdin and environment in, stdout and exit code out."""

from __future__ import annotations

import os
import sys

from . import results
from .call import Plugin, answer

_INPUT_MAX = 1 << 20  # bytes of configuration


def run(plugin: Plugin) -> None:
    """Carry out the call that this process was started for, and exit without the interpreter's tidying up."""
    if not os.environ.get("CNI_COMMAND"):
        versions = ", ".join(results.SUPPORTED_VERSIONS)
        sys.stderr.write(f"{plugin.about}\nCNI protocol versions supported: {versions}\n")
        sys.stderr.flush()
        os._exit(0)
    code, out = answer(plugin, os.environ, _stdin)
    if out:
        out += b"\n"
        while out:
            out = out[os.write(1, out) :]
    os._exit(code)


def _stdin() -> bytes:
    chunks, size = [], 0
    while size <= _INPUT_MAX and (chunk := os.read(0, 65536)):
        chunks.append(chunk)
        size += len(chunk)
    if size > _INPUT_MAX:
        raise OSError(7, "the network configuration is larger than 1 MiB")
    return b"".join(chunks)
