"""How much of the node's swap a container may use (KEP-2400).

`NoSwap`, which also holds when nothing is said: none. `LimitedSwap`: containers of burstable pods get the share of the
swap that their memory request has of the memory, others none. Nobody gets any where the kernel does not count it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.meta.pod_resources import qos_class
from apimachinery.meta.quantity import value
from nodeagent.cri import messages as cri
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Container, Pod

LIMITED = "LimitedSwap"
REFUSAL = "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false"
# The kernel's file, which is no field of the CRI.
_FILE = "memory.swap.max"


def is_on(root: Path = Path("/")) -> bool:
    """Whether the machine swaps: /proc/swaps has lines below its heading. False where there is no such file."""
    try:
        return len((root / "proc/swaps").read_text().strip().splitlines()) > 1
    except FileNotFoundError:
        return False


def is_counted(mount: Path, *, v2: bool) -> bool:
    """Whether the kernel limits the swap of cgroups. mount: of the cgroup file systems."""
    if not v2:
        return (mount / "memory" / "memory.memsw.limit_in_bytes").exists()
    # The root of a v2 hierarchy has no limits; what is below it has.
    return any(mount.glob(f"*/{_FILE}"))


@dataclass(frozen=True, slots=True)
class Swap:
    """The node's swap. memory, size: bytes. limited: LimitedSwap holds, NodeSwap is open. counted: `is_counted`."""

    memory: int
    size: int
    limited: bool
    counted: bool
    v2: bool

    def limit(self, pod: Pod, container: Container) -> int:
        """Bytes that the container may use."""
        if not (self.limited and self.counted and self.v2) or pods.is_critical(pod) or qos_class(pod) != "Burstable":
            return 0
        resources: Mapping[str, Any] = container.get("resources") or {}
        request, most = (
            value(str((resources.get(kind) or {}).get("memory") or "0")) for kind in ("requests", "limits")
        )
        # Who has as much as it may ever use is not to wait for a disk; who asks for nothing has no share.
        if request == most or not self.memory > 0 or request > self.memory:
            return 0
        return int(request / self.memory * self.size)

    def apply(self, pod: Pod, container: Container, resources: cri.LinuxContainerResources) -> None:
        """Write the limit into what the runtime is told."""
        if not self.counted:
            return
        if self.v2:
            resources.unified[_FILE] = str(self.limit(pod, container))
        else:
            # v1 counts memory and swap together.
            resources.memory_swap_limit_in_bytes = resources.memory_limit_in_bytes
