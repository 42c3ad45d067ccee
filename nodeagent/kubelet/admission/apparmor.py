"""Pods that ask for AppArmor on a node that has none (pkg/security/apparmor)."""

from __future__ import annotations

from pathlib import Path

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.runtime import security

from .predicates import Refusal

_ENABLED = Path("/sys/module/apparmor/parameters/enabled")


def is_enabled(path: Path = _ENABLED) -> bool:
    """Whether the kernel confines by AppArmor."""
    try:
        return path.read_text().startswith("Y")
    except OSError:
        return False


def unenforceable(pod: Pod, enabled: bool) -> Refusal | None:
    """The refusal of a pod with a profile that nobody would enforce."""
    wanted = any(
        security.apparmor(pod, container) not in ("", "unconfined") for _, container in pods.all_containers(pod)
    )
    if enabled or not wanted:
        return None
    return Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
