"""The process of a plugin: stdin and environment in, stdout and exit code out."""

from __future__ import annotations

import os
import sys

from . import results
from .call import Plugin, answer
from .errors import TRY_AGAIN_LATER, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .call import Call

_INPUT_MAX = 1 << 20  # bytes of configuration
_AGENT = "KUBELAB_CNI_AGENT"  # what became of the call at the agent: see kubelab-cni.c


def run(plugin: Plugin) -> None:
    """Carry out the call that this process was started for, and exit without the interpreter's tidying up."""
    if not os.environ.get("CNI_COMMAND"):
        versions = ", ".join(results.SUPPORTED_VERSIONS)
        sys.stderr.write(f"{plugin.about}\nCNI protocol versions supported: {versions}\n")
        sys.stderr.flush()
        os._exit(0)
    code, out = carry_out(plugin, os.environ)
    out = printed(out)
    while out:
        out = out[os.write(1, out) :]
    os._exit(code)


def carry_out(plugin: Plugin, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """One call, knowing whether an agent began with it. All but ADD may be done twice."""
    doubt = environment.get(_AGENT, "")
    if environment["CNI_COMMAND"] != "ADD" or doubt not in ("gone", "silent"):
        return answer(plugin, environment, _stdin)
    if doubt == "silent":
        return answer(Plugin(plugin.about, ADD=_refuse), environment, _stdin)
    text = _stdin()
    answer(plugin, {**environment, "CNI_COMMAND": "DEL"}, lambda: text)
    return answer(plugin, environment, lambda: text)


def _refuse(call: Call) -> None:
    # The agent may yet go on: a second ADD beside it could leave an address that nobody knows of.
    raise CniError(TRY_AGAIN_LATER, "the CNI agent does not answer; it may still be carrying this call out")


def printed(out: bytes) -> bytes:
    """What goes to stdout for a result; nothing for none."""
    return out + b"\n" if out else b""


def _stdin() -> bytes:
    chunks, size = [], 0
    while size <= _INPUT_MAX and (chunk := os.read(0, 65536)):
        chunks.append(chunk)
        size += len(chunk)
    if size > _INPUT_MAX:
        raise OSError(7, "the network configuration is larger than 1 MiB")
    return b"".join(chunks)
