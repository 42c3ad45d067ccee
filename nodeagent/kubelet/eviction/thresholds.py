"""The thresholds of eviction: signals, quantities and grace periods (pkg/kubelet/eviction/helpers.go, api/types.go)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from apimachinery.meta.quantity import format_bytes, parse

MEMORY = "memory.available"
ALLOCATABLE_MEMORY = "allocatableMemory.available"
NODEFS, NODEFS_INODES = "nodefs.available", "nodefs.inodesFree"
IMAGEFS, IMAGEFS_INODES = "imagefs.available", "imagefs.inodesFree"
CONTAINERFS, CONTAINERFS_INODES = "containerfs.available", "containerfs.inodesFree"
PIDS = "pid.available"

# Signal → (what runs short, as the messages call it; the node's condition).
SIGNALS = {
    MEMORY: ("memory", "MemoryPressure"),
    ALLOCATABLE_MEMORY: ("memory", "MemoryPressure"),
    NODEFS: ("ephemeral-storage", "DiskPressure"),
    NODEFS_INODES: ("inodes", "DiskPressure"),
    IMAGEFS: ("ephemeral-storage", "DiskPressure"),
    IMAGEFS_INODES: ("inodes", "DiskPressure"),
    CONTAINERFS: ("ephemeral-storage", "DiskPressure"),
    CONTAINERFS_INODES: ("inodes", "DiskPressure"),
    PIDS: ("pids", "PIDPressure"),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity, or a share (0 to 1) of the capacity. text: the quantity as it was written."""

    quantity: int = 0
    share: float = 0.0
    text: str = ""

    def of(self, capacity: int) -> int:
        return int(capacity * self.share) if self.share else self.quantity

    def shown(self, capacity: int) -> str:
        """As messages spell it."""
        return format_bytes(self.of(capacity)) if self.share else self.text


@dataclass(frozen=True, slots=True)
class Threshold:
    """Met when less than `amount` is available. grace: seconds for which it must have been met; 0 is a hard one.

    reclaim: how much more than `amount` must be free before it counts as resolved.
    """

    signal: str
    amount: Amount
    grace: float = 0.0
    reclaim: Amount | None = None

    @property
    def hard(self) -> bool:
        return self.grace == 0

    @property
    def resource(self) -> str:
        return SIGNALS[self.signal][0]


def parse_amount(text: str) -> Amount:
    """ "100Mi" or "10%". Raises ValueError."""
    if text.endswith("%"):
        return Amount(share=_single(_single(float(text[:-1])) / 100))
    quantity = parse(text)
    return Amount(quantity.value, text=str(quantity))


def _single(number: float) -> float:
    """Rounded to single precision, in which upstream keeps shares: allocatable shows the difference."""
    return float(struct.unpack("f", struct.pack("f", number))[0])


def reserved(hard: Mapping[str, str], signal: str, capacity: int) -> int:
    """What a hard threshold keeps from pods; nothing when it is switched off (HardEvictionReservation)."""
    thresholds = parse_thresholds(hard, {}, {}, {})
    return next((t.amount.of(capacity) for t in thresholds if t.signal == signal), 0)


def parse_thresholds(
    hard: Mapping[str, str], soft: Mapping[str, str], grace: Mapping[str, float], reclaim: Mapping[str, str]
) -> list[Threshold]:
    """The configured thresholds, hard ones first. grace: seconds, by signal. Raises ValueError, KeyError.

    "0%" and "100%" are upstream's way of switching a threshold off.
    """
    found = [(signal, text, 0.0) for signal, text in hard.items()]
    found += [(signal, text, grace[signal]) for signal, text in soft.items()]
    return [
        Threshold(signal, parse_amount(text), period, parse_amount(reclaim[signal]) if signal in reclaim else None)
        for signal, text, period in found
        if text not in ("0%", "100%")
    ]


def with_derived(
    thresholds: Sequence[Threshold], *, enforce_pods: bool, dedicated: bool, split: bool
) -> list[Threshold]:
    """Add the thresholds that nobody sets: of all pods' memory, and of the file system of the containers.

    enforce_pods: enforceNodeAllocatable names pods. dedicated: images are on another file system than the kubelet's;
    split: and the containers' writable layers are not with the images. A configured containerfs is ignored.
    """
    found = [t for t in thresholds if t.signal not in (CONTAINERFS, CONTAINERFS_INODES)]
    model = (IMAGEFS, IMAGEFS_INODES) if dedicated and not split else (NODEFS, NODEFS_INODES)
    for signal, source in ((CONTAINERFS, model[0]), (CONTAINERFS_INODES, model[1])):
        found += [replace(t, signal=signal) for t in thresholds if t.signal == source]
    if enforce_pods:
        found += [replace(t, signal=ALLOCATABLE_MEMORY) for t in thresholds if t.signal == MEMORY and t.hard]
    return found


def by_urgency(thresholds: Iterable[Threshold]) -> list[Threshold]:
    """Memory before everything else, otherwise in the order given."""
    return sorted(thresholds, key=lambda threshold: threshold.resource != "memory")
