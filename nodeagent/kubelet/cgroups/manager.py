"""The kubelet's cgroups: kubepods, a class of service under it, a pod under that (pkg/kubelet/cm).

We own what is below `<cgroup-root>/kubepods` and nothing else. Everything is idempotent. With the cgroupfs driver they
are folders that we make; with the systemd driver they are slices, of which systemd makes the folders.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.meta.pod_resources import pod_requests, qos_class
from nodeagent.kubelet import pods, qos
from nodeagent.kubelet.qos import Limits

from . import names, systemd
from .names import Name
from .settings import Applied, Setting, plan_hugepages, plan_settings, plan_shares, read_applied
from .systemd import Units
from .tree import Tree

log = logging.getLogger(__name__)

_QUALITIES = ("Guaranteed", "Burstable", "BestEffort")


@dataclass(frozen=True, slots=True)
class PodLimits:
    """What every pod's cgroup is given beside its own resources.

    pids: most processes of a pod, -1 for no limit. cpu_quota: whether cpu limits are enforced (`cpuCFSQuota`).
    page_sizes: of the machine's huge pages, in bytes. memory_qos: the memory that pods ask for is kept for them, on v2
    (KEP-2570).
    """

    pids: int = -1
    cpu_quota: bool = True
    page_sizes: Sequence[int] = ()
    memory_qos: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a pod asks for: millicores, bytes."""

    quality: str
    cpu: int
    memory: int


class Cgroups:
    """The machine's cgroup tree as far as it is ours. root: `--cgroup-root`. units: of systemd, for its driver."""

    def __init__(
        self,
        root: str = "/",
        tree: Tree | None = None,
        pod_limits: PodLimits | None = None,
        units: Units | None = None,
    ) -> None:
        self.root, self.tree = root, tree or Tree()
        self._pod_limits = pod_limits or PodLimits()
        self._asked: dict[str, _Asked] = {}
        self._units = units
        self.driver = names.CGROUPFS if units is None else names.SYSTEMD
        self.v2 = self.tree.v2
        self._memory_qos = self.v2 and self._pod_limits.memory_qos

    async def ensure_roots(self) -> None:
        """Make kubepods, burstable and besteffort. Raises OSError when cgroups are not writable."""
        for quality in _QUALITIES:
            await self._make(names.quality_name(self.root, quality))
        await self._weigh("BestEffort", 0)
        await self._share()

    async def enforce(self, limits: Limits, pids: int = -1) -> None:
        """Give the cgroup of all pods what the node can allocate. Raises OSError when the kernel refuses.

        A memory limit below what the pods use now is refused on v1; it is to be tried again when they use less.
        """
        await self._limit(names.pods_name(self.root), limits, pids)

    async def enforce_existing(self, cgroup: str, limits: Limits, pids: int = -1) -> None:
        """Limit a cgroup of somebody else (`kubeReservedCgroup`, `systemReservedCgroup`). Raises OSError."""
        name = tuple(part for part in cgroup.split("/") if part)
        if not self.tree.exists(names.path(name, self.driver)):
            raise FileNotFoundError(f'"{cgroup}" cgroup does not exist')
        await self._limit(name, limits, pids)

    async def ensure_pod(self, pod: Mapping[str, Any]) -> str:
        """Make the pod's cgroup with its limits; returns its path, the sandbox's parent. Raises OSError."""
        await self._count(pod)
        name = names.pod_name(self.root, pod)
        path = names.path(name, self.driver)
        if not self.tree.exists(path):
            await self._make(name)
            try:
                await self.update_pod(pod)
            except OSError as error:
                log.warning("Failed to set the limits of pod %s: %s", pods.describe(pod), error)
        return path

    async def update_pod(self, pod: Mapping[str, Any]) -> None:
        """Give a pod's cgroup the limits of its spec. Raises OSError when the kernel refuses one."""
        limits = qos.pod_limits(pod, cpu_quota=self._pod_limits.cpu_quota)
        await self._limit(names.pod_name(self.root, pod), limits, self._pod_limits.pids)
        if self._memory_qos:
            await self._promise(names.pod_name(self.root, pod), pod_requests(pod).get("memory", 0))
        await self._count(pod)

    async def lift_pod(self, pod: Mapping[str, Any]) -> None:
        """Take the pod's own limits of cpu and memory away, while its containers get others. Raises OSError."""
        limits = qos.pod_limits(pod, cpu_quota=self._pod_limits.cpu_quota)
        await self._limit(names.pod_name(self.root, pod), replace(limits, cpu_quota=0, memory=0), self._pod_limits.pids)

    def applied(self, pod_path: str, container_id: str) -> Applied | None:
        """What the cgroup of a container holds now; None when it is gone."""
        path = self.container_path(pod_path, container_id)
        try:
            return read_applied(
                lambda controller, file: (self.tree.folder(controller, path) / file).read_text(), v2=self.v2
            )
        except (OSError, ValueError):
            return None

    async def remove_pod(self, uid: str) -> bool:
        """Kill what is left in the pod's cgroup and remove it. False when something still lives in it: ask again."""
        if self._asked.pop(uid, None) is not None:
            await self._share()
        gone = True
        for path in [path for path in self._places(uid) if self.tree.remains(path)]:
            gone = self.tree.remove(path) and gone
            if self._units is not None:
                await self._units.stop(path.rpartition("/")[2])
                gone = self.tree.remove(path)
        return gone

    def pod_uids(self) -> set[str]:
        """The pods that have a cgroup."""
        return {uid for _, uid in self._pods()}

    def pod_path(self, uid: str) -> str | None:
        """A pod's cgroup, whatever its class; None when it has none."""
        return next((path for path in self._places(uid) if self.tree.remains(path)), None)

    def pod_paths(self) -> dict[str, str]:
        """The cgroups of all pods, by uid."""
        return {uid: path for path, uid in self._pods()}

    def container_path(self, pod_path: str, container_id: str) -> str:
        """The cgroup of a container, or of a sandbox, in its pod's."""
        return f"{pod_path}/{names.container_folder(container_id, self.driver)}"

    def group_paths(self) -> tuple[str, ...]:
        """The cgroup of all pods, and those of the classes of service in it."""
        return tuple(self._quality(quality) for quality in _QUALITIES)

    def pods_path(self) -> str:
        """The cgroup of all pods."""
        return self._quality("Guaranteed")

    def _places(self, uid: str) -> list[str]:
        """Where a pod's cgroup can be: under each class."""
        return [names.path(names.pod_name_in(self.root, quality, uid), self.driver) for quality in _QUALITIES]

    def _pods(self) -> Iterator[tuple[str, str]]:
        for quality in _QUALITIES:
            path = self._quality(quality)
            for folder in self.tree.children(path):
                uid = names.pod_uid_of(folder, self.driver)
                if uid is not None:
                    yield f"{path}/{folder}", uid

    def _quality(self, quality: str) -> str:
        return names.path(names.quality_name(self.root, quality), self.driver)

    async def _make(self, name: Name) -> None:
        if self._units is not None:
            parent = names.unit(name[:-1]) if len(name) > 1 else ""
            await self._units.start(names.unit(name), systemd.plan_slice(parent, v2=self.v2))
        # systemd makes the folders of the controllers that it knows.
        self.tree.ensure(names.path(name, self.driver))

    async def _limit(self, name: Name, limits: Limits, pids: int) -> None:
        if self._units is not None:
            await self._units.change(names.unit(name), systemd.plan_limits(limits, v2=self.v2, pids=pids))
        # Also with systemd: it rounds quotas, and knows no huge pages.
        settings = plan_settings(limits, v2=self.v2, pids=pids)
        self.tree.apply(names.path(name, self.driver), [*settings, *self._hugepages(limits)])

    def _hugepages(self, limits: Limits) -> list[Setting]:
        if not self.tree.has("hugetlb"):
            return []
        return plan_hugepages(limits.hugepages, self._pod_limits.page_sizes, v2=self.v2)

    async def _count(self, pod: Mapping[str, Any]) -> None:
        """The burstable class weighs as much as its pods ask for together (qos_container_manager_linux.go)."""
        quality, requests = qos_class(pod), pod_requests(pod)
        if quality != "Burstable" and not (self._memory_qos and quality == "Guaranteed"):
            return
        asked = _Asked(quality, requests.get("cpu", 0), requests.get("memory", 0))
        if self._asked.get(pods.uid(pod)) != asked:
            self._asked[pods.uid(pod)] = asked
            await self._share()

    async def _share(self) -> None:
        burstable = [asked for asked in self._asked.values() if asked.quality == "Burstable"]
        await self._weigh("Burstable", sum(asked.cpu for asked in burstable))
        if not self._memory_qos:
            return
        # A promise counts only up to what every cgroup above it is promised.
        for quality, of in (("Guaranteed", list(self._asked.values())), ("Burstable", burstable)):
            try:
                await self._promise(names.quality_name(self.root, quality), sum(asked.memory for asked in of))
            except OSError as error:
                log.warning("Failed to keep memory for %s pods: %s", quality.lower(), error)

    async def _promise(self, name: Name, memory: int) -> None:
        """Keep so many bytes for a cgroup, whatever others need."""
        if self._units is not None:
            await self._units.change(names.unit(name), [("MemoryMin", "t", memory)])
        self.tree.apply(names.path(name, self.driver), [Setting("", "memory.min", str(memory))])

    async def _weigh(self, quality: str, millicores: int) -> None:
        name, shares = names.quality_name(self.root, quality), qos.cpu_shares(millicores)
        try:
            if self._units is not None:
                weight = systemd.plan_limits(Limits(shares), v2=self.v2)[:1]
                await self._units.change(names.unit(name), weight)
            self.tree.apply(names.path(name, self.driver), plan_shares(shares, v2=self.v2))
        except OSError as error:
            log.warning("Failed to set the weight of %s pods: %s", quality.lower(), error)
