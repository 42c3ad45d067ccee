"""Settings of the kernel that a node's pods count on (protectKernelDefaults).

Upstream's kubelet writes them unless it is to protect what is there. Ours never does: a machine may carry several nodes
of a lab, and is not theirs.
"""

from __future__ import annotations

from pathlib import Path

_EXPECTED = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def unexpected(root: Path = Path("/proc/sys")) -> list[str]:
    """Upstream's sentence for every setting that is not as a node's is to be."""
    found = []
    for name, expected in _EXPECTED.items():
        try:
            actual = int((root / name).read_text())
        except FileNotFoundError:
            found.append(f"open {root / name}: no such file or directory")
            continue
        if actual != expected:
            found.append(f"invalid kernel flag: {name}, expected value: {expected}, actual value: {actual}")
    return found
