"""kubelet_volume_stats_*: how full the file systems behind claims are (metrics/collectors/volume_stats.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .exposition import Family, render
from .provider import VolumeStats


def render_claims(claims: Iterable[tuple[str, VolumeStats]]) -> bytes:
    """The exposition; a claim that several pods use is told once. claims: each with its namespace. Pure."""
    rows: tuple[tuple[str, str, Callable[[VolumeStats], int]], ...] = (
        ("capacity_bytes", "Capacity in bytes of the volume", lambda each: each.file_system.size),
        ("available_bytes", "Number of available bytes in the volume", lambda each: each.file_system.available),
        ("used_bytes", "Number of used bytes in the volume", lambda each: each.used.used),
        ("inodes", "Maximum number of inodes in the volume", lambda each: each.file_system.inodes),
        ("inodes_free", "Number of free inodes in the volume", lambda each: each.file_system.inodes_free),
        ("inodes_used", "Number of used inodes in the volume", lambda each: each.used.inodes),
    )
    once = {(namespace, each.claim): each for namespace, each in claims}
    families = [Family(f"kubelet_volume_stats_{name}", "gauge", f"[ALPHA] {text}") for name, text, _ in rows]
    for (namespace, claim), each in sorted(once.items()):
        for family, (_, _, read) in zip(families, rows, strict=True):
            family.add(read(each), 0, {"namespace": namespace, "persistentvolumeclaim": claim})
    return render(families)
