"""Where the kubelet keeps things on disk: upstream's layout, so that what people learn to look at is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SYMLINK_MAX = 255  # NAME_MAX


@dataclass(frozen=True, slots=True)
class Paths:
    """root: /var/lib/kubelet. pod_logs: /var/log/pods. container_logs: /var/log/containers."""

    root: Path
    pod_logs: Path = Path("/var/log/pods")
    container_logs: Path = Path("/var/log/containers")

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    def volumes(self, uid: str) -> Path:
        return self.pod(uid) / "volumes"

    def volume(self, uid: str, plugin: str, name: str) -> Path:
        """A volume's directory. plugin: as `configmap`; on disk `kubernetes.io~configmap`."""
        return self.volumes(uid) / f"kubernetes.io~{plugin}" / name

    def volume_devices(self, uid: str, plugin: str) -> Path:
        """Where the raw devices of a pod are linked."""
        return self.pod(uid) / "volumeDevices" / f"kubernetes.io~{plugin}"

    def subpaths(self, uid: str) -> Path:
        return self.pod(uid) / "volume-subpaths"

    def container(self, uid: str, name: str) -> Path:
        return self.pod(uid) / "containers" / name

    def etc_hosts(self, uid: str) -> Path:
        return self.pod(uid) / "etc-hosts"

    def pod_log_dir(self, pod: Mapping[str, Any]) -> Path:
        metadata = pod["metadata"]
        return self.pod_logs / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"

    def container_log(self, pod: Mapping[str, Any], container: str, restart_count: int) -> Path:
        return self.pod_log_dir(pod) / container / f"{restart_count}.log"

    def legacy_symlink(self, pod: Mapping[str, Any], container: str, container_id: str) -> Path:
        """The name under /var/log/containers that log shippers read."""
        metadata = pod["metadata"]
        stem = f"{metadata['name']}_{metadata['namespace']}_{container}-{container_id}"
        return self.container_logs / f"{stem[: _SYMLINK_MAX - 4]}.log"
