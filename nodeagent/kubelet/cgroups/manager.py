"""The kubelet's cgroups: kubepods, a class of service under it, a pod under that (pkg/kubelet/cm).

We own what is below `<cgroup-root>/kubepods` and nothing else. Everything is idempotent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta.pod_resources import pod_requests
from nodeagent.kubelet import pods, qos
from nodeagent.kubelet.qos import Limits

from . import names
from .settings import plan_hugepages, plan_settings, plan_shares
from .tree import Tree

log = logging.getLogger(__name__)

_QUALITIES = ("Guaranteed", "Burstable", "BestEffort")


@dataclass(frozen=True, slots=True)
class PodLimits:
    """What every pod's cgroup is given beside its own resources.

    pids: most processes of a pod, -1 for no limit. cpu_quota: whether cpu limits are enforced (`cpuCFSQuota`).
    page_sizes: of the machine's huge pages, in bytes.
    """

    pids: int = -1
    cpu_quota: bool = True
    page_sizes: Sequence[int] = ()


class Cgroups:
    """The machine's cgroup tree as far as it is ours. root: `--cgroup-root`."""

    def __init__(self, root: str = "/", tree: Tree | None = None, pod_limits: PodLimits | None = None) -> None:
        self.root, self.tree = root, tree or Tree()
        self._pod_limits = pod_limits or PodLimits()
        self._burstable: dict[str, int] = {}
        self.driver = names.CGROUPFS
        self.v2 = self.tree.v2

    def ensure_roots(self) -> None:
        """Make kubepods, burstable and besteffort. Raises OSError when cgroups are not writable."""
        for quality in _QUALITIES:
            self.tree.ensure(self._quality(quality))
        self.tree.apply(self._quality("BestEffort"), plan_shares(qos.cpu_shares(0), v2=self.v2))
        self._share_burstable()

    def enforce(self, limits: Limits, pids: int = -1) -> None:
        """Give the cgroup of all pods what the node can allocate. Raises OSError when the kernel refuses.

        A memory limit below what the pods use now is refused on v1; it is to be tried again when they use less.
        """
        self._enforce(self._quality("Guaranteed"), limits, pids)

    def enforce_existing(self, cgroup: str, limits: Limits, pids: int = -1) -> None:
        """Limit a cgroup of somebody else (`kubeReservedCgroup`, `systemReservedCgroup`). Raises OSError."""
        path = names.path(tuple(part for part in cgroup.split("/") if part), self.driver)
        if not self.tree.exists(path):
            raise FileNotFoundError(f'"{cgroup}" cgroup does not exist')
        self._enforce(path, limits, pids)

    def _enforce(self, path: str, limits: Limits, pids: int) -> None:
        settings = plan_settings(limits, v2=self.v2, pids=pids)
        self.tree.apply(path, [*settings, *self._hugepages(limits)])

    def ensure_pod(self, pod: Mapping[str, Any]) -> str:
        """Make the pod's cgroup with its limits; returns its path, the sandbox's parent. Raises OSError."""
        self._count(pod)
        path = names.path(names.pod_name(self.root, pod), self.driver)
        if not self.tree.exists(path):
            self.tree.ensure(path)
            try:
                self.update_pod(pod)
            except OSError as error:
                log.warning("Failed to set the limits of pod %s: %s", pods.describe(pod), error)
        return path

    def update_pod(self, pod: Mapping[str, Any]) -> None:
        """Give a pod's cgroup the limits of its spec. Raises OSError when the kernel refuses one."""
        limits = qos.pod_limits(pod, cpu_quota=self._pod_limits.cpu_quota)
        path = names.path(names.pod_name(self.root, pod), self.driver)
        settings = plan_settings(limits, v2=self.v2, pids=self._pod_limits.pids)
        self.tree.apply(path, [*settings, *self._hugepages(limits)])
        self._count(pod)

    def pod_uids(self) -> set[str]:
        """The pods that have a cgroup."""
        return {uid for _, uid in self._pods()}

    def pod_path(self, uid: str) -> str | None:
        """A pod's cgroup, whatever its class; None when it has none."""
        return next((path for path, found in self._pods() if found == uid), None)

    def pod_paths(self) -> dict[str, str]:
        """The cgroups of all pods, by uid."""
        return {uid: path for path, uid in self._pods()}

    def container_path(self, pod_path: str, container_id: str) -> str:
        """The cgroup of a container, or of a sandbox, in its pod's."""
        return f"{pod_path}/{names.container_folder(container_id, self.driver)}"

    def remove_pod(self, uid: str) -> bool:
        """Kill what is left in the pod's cgroup and remove it. False when something still lives in it: ask again."""
        if self._burstable.pop(uid, None) is not None:
            self._share_burstable()
        gone = [self.tree.remove(path) for path, found in self._pods() if found == uid]
        return all(gone)

    def group_paths(self) -> tuple[str, ...]:
        """The cgroup of all pods, and those of the classes of service in it."""
        return tuple(self._quality(quality) for quality in _QUALITIES)

    def pods_path(self) -> str:
        """The cgroup of all pods."""
        return self._quality("Guaranteed")

    def _pods(self) -> Iterator[tuple[str, str]]:
        for quality in _QUALITIES:
            path = self._quality(quality)
            for folder in self.tree.children(path):
                uid = names.pod_uid_of(folder, self.driver)
                if uid is not None:
                    yield f"{path}/{folder}", uid

    def _quality(self, quality: str) -> str:
        return names.path(names.quality_name(self.root, quality), self.driver)

    def _hugepages(self, limits: Limits) -> Sequence[Any]:
        if not self.tree.has("hugetlb"):
            return ()
        return plan_hugepages(limits.hugepages, self._pod_limits.page_sizes, v2=self.v2)

    def _count(self, pod: Mapping[str, Any]) -> None:
        """The burstable class weighs as much as its pods ask for together (qos_container_manager_linux.go)."""
        if pods.qos_class(pod) != "Burstable":
            return
        asked = pod_requests(pod).get("cpu", 0)
        if self._burstable.get(pods.uid(pod)) != asked:
            self._burstable[pods.uid(pod)] = asked
            self._share_burstable()

    def _share_burstable(self) -> None:
        shares = qos.cpu_shares(sum(self._burstable.values()))
        try:
            self.tree.apply(self._quality("Burstable"), plan_shares(shares, v2=self.v2))
        except OSError as error:
            log.warning("Failed to set the weight of burstable pods: %s", error)
