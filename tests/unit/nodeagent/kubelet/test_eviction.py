"""Eviction: thresholds, rounds, ranking, messages, limits on local storage; the whole manager over given numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.kubelet import pods
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.cgroups.tree import Tree
from nodeagent.kubelet.eviction import thresholds as signals
from nodeagent.kubelet.eviction.local_storage import excess, has_limits
from nodeagent.kubelet.eviction.manager import EvictionManager, Hands, Policy
from nodeagent.kubelet.eviction.measure import Layout, Meter, directory_usage, node_memory
from nodeagent.kubelet.eviction.plan import Memory, Observation, assess, thresholds_met
from nodeagent.kubelet.eviction.ranking import disk_parts, event_annotations, message, rank
from nodeagent.kubelet.eviction.thresholds import Threshold, parse_amount, parse_thresholds, reserved, with_derived
from nodeagent.kubelet.eviction.usage import ContainerUsage, Disk, PodUsage
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.status.compute import Verdict

MI, GI = 1 << 20, 1 << 30


def pod(name: str, *, memory: str = "", storage: str = "", priority: int = 0, **more: Any) -> Pod:
    requests = {key: text for key, text in (("memory", memory), ("ephemeral-storage", storage)) if text}
    container: dict[str, Any] = {"name": "c", "resources": {"requests": requests}}
    spec = {"containers": [container], "priority": priority, **more}
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}


def hard(signal: str, amount: str, reclaim: str = "") -> Threshold:
    return Threshold(signal, parse_amount(amount), reclaim=parse_amount(reclaim) if reclaim else None)


def test_thresholds_are_read_and_the_derived_ones_follow() -> None:
    found = parse_thresholds(
        {"memory.available": "100Mi", "nodefs.available": "10%", "imagefs.available": "0%"},
        {"memory.available": "1Gi"},
        {"memory.available": 90.0},
        {"memory.available": "50Mi"},
    )
    assert [(t.signal, t.grace, t.reclaim and t.reclaim.quantity) for t in found] == [
        ("memory.available", 0.0, 50 * MI),
        ("nodefs.available", 0.0, None),
        ("memory.available", 90.0, 50 * MI),
    ]
    one_disk = with_derived(found, enforce_pods=True, dedicated=False, split=False)
    assert {t.signal for t in one_disk} - {t.signal for t in found} == {
        "containerfs.available",
        "allocatableMemory.available",
    }
    assert sum(t.signal == "allocatableMemory.available" for t in one_disk) == 1, "of hard thresholds only"
    own_disk = with_derived(
        [hard("imagefs.available", "15%"), hard("containerfs.available", "99%")],
        enforce_pods=False,
        dedicated=True,
        split=False,
    )
    assert [(t.signal, t.amount.share) for t in own_disk] == [
        ("imagefs.available", parse_amount("15%").share),
        ("containerfs.available", parse_amount("15%").share),
    ]


def test_a_share_is_kept_in_single_precision_and_what_is_switched_off_keeps_nothing() -> None:
    disk = 101_203_873_792
    assert reserved({"nodefs.available": "10%"}, "nodefs.available", disk) == 10_120_387_530
    assert reserved({"nodefs.available": "1Gi"}, "nodefs.available", disk) == GI
    for off in ({"nodefs.available": "100%"}, {"nodefs.available": "0%"}, {"memory.available": "1Gi"}):
        assert reserved(off, "nodefs.available", disk) == 0


@pytest.mark.parametrize(
    ("available", "reclaimed", "met"),
    [(99 * MI, False, True), (100 * MI, False, False), (149 * MI, True, True), (150 * MI, True, False)],
)
def test_a_threshold_is_met_below_it_and_resolved_above_the_minimum_reclaim(
    available: int, reclaimed: bool, met: bool
) -> None:
    threshold = hard("memory.available", "100Mi", "50Mi")
    seen = {"memory.available": Observation(available, GI)}
    assert bool(thresholds_met([threshold], seen, reclaimed=reclaimed)) is met


def test_grace_minimum_reclaim_and_the_transition_are_monotonic_rounds() -> None:
    soft = Threshold("memory.available", parse_amount("1Gi"), grace=30.0, reclaim=parse_amount("1Gi"))
    low, between, high = (Observation(amount, 4 * GI) for amount in (GI // 2, GI + 1, 3 * GI))

    def step(before: Memory, now: float, seen: Observation) -> tuple[tuple[str, ...], bool, Memory]:
        found = assess([soft], {"memory.available": seen}, before, now, 300.0)
        return found.conditions, bool(found.met), found.memory

    conditions, acts, memory = step(Memory(), 0.0, low)
    assert (conditions, acts) == (("MemoryPressure",), False), "a soft one waits, the condition does not"
    conditions, acts, memory = step(memory, 29.0, low)
    assert not acts
    conditions, acts, memory = step(memory, 30.0, low)
    assert acts
    conditions, acts, memory = step(memory, 40.0, between)
    assert acts, "not enough reclaimed"
    conditions, acts, memory = step(memory, 50.0, high)
    assert (conditions, acts) == (("MemoryPressure",), False)
    conditions, acts, memory = step(memory, 339.0, high)
    assert conditions == ("MemoryPressure",)
    conditions, acts, memory = step(memory, 340.0, high)
    assert conditions == (), "five minutes after it was last observed"


def test_a_pressure_that_comes_and_goes_within_the_transition_stays() -> None:
    threshold = hard("pid.available", "10%")
    memory = Memory()
    for now, free in ((0.0, 1), (200.0, 90), (250.0, 1), (500.0, 90)):
        found = assess([threshold], {"pid.available": Observation(free, 100)}, memory, now, 300.0)
        memory = found.memory
        assert found.conditions == ("PIDPressure",)


def test_memory_goes_before_disks() -> None:
    listed = [hard("nodefs.available", "10%"), hard("memory.available", "1Gi")]
    seen = {"nodefs.available": Observation(1, 100), "memory.available": Observation(1, GI)}
    assert [t.signal for t in assess(listed, seen, Memory(), 0.0, 300.0).met] == [
        "memory.available",
        "nodefs.available",
    ]


MEMORY_TABLE: list[tuple[str, list[tuple[Pod, PodUsage | None]], list[str]]] = [
    (
        "above the request before below it, whatever the priority",
        [
            (pod("within", memory="200Mi"), PodUsage(100 * MI)),
            (pod("beyond", memory="50Mi", priority=1000), PodUsage(60 * MI)),
        ],
        ["beyond", "within"],
    ),
    (
        "then low priority, then most above the request",
        [
            (pod("much", memory="1Mi", priority=5), PodUsage(900 * MI)),
            (pod("low", memory="1Mi"), PodUsage(2 * MI)),
            (pod("little", memory="1Mi", priority=5), PodUsage(3 * MI)),
        ],
        ["low", "much", "little"],
    ),
    (
        "what could not be measured goes first",
        [(pod("known"), PodUsage(GI)), (pod("unknown", memory="1Gi", priority=9), None)],
        ["unknown", "known"],
    ),
]


@pytest.mark.parametrize(("listed", "order"), [row[1:] for row in MEMORY_TABLE], ids=[row[0] for row in MEMORY_TABLE])
def test_ranking_by_memory(listed: list[tuple[Pod, PodUsage | None]], order: list[str]) -> None:
    usages = {p["metadata"]["uid"]: usage for p, usage in listed if usage is not None}
    for turned in (listed, listed[::-1]):
        ranked = rank("memory.available", [p for p, _ in turned], usages)
        assert [p["metadata"]["name"] for p in ranked] == order


def test_ranking_by_disk_looks_at_what_lies_on_it() -> None:
    logs = PodUsage(0, 0, (ContainerUsage("c", 0, Disk(1, 1), Disk(500, 1)),))
    layer = PodUsage(0, 0, (ContainerUsage("c", 0, Disk(400, 9), Disk(0, 0)),))
    volume = PodUsage(0, 0, (), {"v": Disk(450, 5)})
    active, usages = [pod("logs"), pod("layer"), pod("volume")], {"logs": logs, "layer": layer, "volume": volume}

    def order(signal: str, **layout: bool) -> list[str]:
        parts = disk_parts(signal, **{"dedicated": False, "split": False, **layout})
        return [p["metadata"]["name"] for p in rank(signal, active, usages, parts)]

    assert order("nodefs.available") == ["logs", "volume", "layer"]
    assert order("nodefs.inodesFree") == ["layer", "volume", "logs"]
    assert order("nodefs.available", dedicated=True)[-1] == "layer"
    assert order("imagefs.available", dedicated=True)[0] == "layer"
    parts = disk_parts("nodefs.available", dedicated=False, split=False)
    ranked = rank("nodefs.available", [pod("asked", storage="1Gi"), pod("not")], {"asked": logs, "not": layer}, parts)
    assert ranked[0]["metadata"]["name"] == "not", "what was asked for is granted"


def test_ranking_by_processes() -> None:
    usages = {"many": PodUsage(0, 900), "few": PodUsage(0, 2), "first": PodUsage(0, 1)}
    ranked = rank("pid.available", [pod("few"), pod("many"), pod("first", priority=-1)], usages)
    assert [p["metadata"]["name"] for p in ranked] == ["first", "many", "few"]


def test_messages_are_upstreams() -> None:
    met = [hard("memory.available", "100Mi")]
    seen = {"memory.available": Observation(50 * MI, GI), "nodefs.available": Observation(5 * GI, 100 * GI)}
    usage = PodUsage(MI, 0, (ContainerUsage("c", 12 * 1024, Disk(1024, 1), Disk(2048, 1)),))
    assert message("memory", pod("p"), usage, met, seen) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 12Ki, request is 0, has larger consumption of memory. "
    )
    assert message("memory", pod("p", memory="1Gi"), usage, met, seen).endswith("available: 50Mi. ")
    disk = message("ephemeral-storage", pod("p"), usage, [hard("nodefs.available", "10%")], seen)
    assert disk == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418400, available: 5Gi. "
        "Container c was using 3Ki, request is 0, has larger consumption of ephemeral-storage. "
    )
    assert message("pids", pod("p"), None, [], seen) == "The node was low on resource: pids. "
    assert event_annotations("pids", pod("p"), None) == {}
    told = {"offending_containers": "", "offending_containers_usage": "", "starved_resource": "pids"}
    assert event_annotations("pids", pod("p"), usage) == told


@pytest.mark.parametrize(
    ("spec", "usage", "expected"),
    [
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
            PodUsage(volumes={"v": Disk(MI + 1)}),
            ("emptydirfs.limit", 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
            id="emptyDir",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
            PodUsage(volumes={"v": Disk(MI)}),
            None,
            id="just full",
        ),
        pytest.param(
            {"containers": [{"name": n, "resources": {"limits": {"ephemeral-storage": "2M"}}} for n in "cd"]},
            PodUsage(volumes={"v": Disk(4 * MI)}),
            (
                "ephemeralpodfs.limit",
                "Pod ephemeral local storage usage exceeds the total limit of containers 4M. ",
            ),
            id="in the suffixes of the limits",
        ),
        pytest.param(
            {"containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "2Mi"}}}]},
            PodUsage(containers=(ContainerUsage("c", 0, Disk(MI), Disk(MI + 1)),)),
            (
                "ephemeralpodfs.limit",
                "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
            ),
            id="pod",
        ),
        pytest.param(
            {
                "containers": [
                    {"name": "a", "resources": {"limits": {"ephemeral-storage": "1Mi"}}},
                    {"name": "b", "resources": {"limits": {"ephemeral-storage": "9Mi"}}},
                ]
            },
            PodUsage(containers=(ContainerUsage("a", 0, Disk(MI), Disk(1)), ContainerUsage("b", 0, Disk(), Disk()))),
            ("ephemeralcontainerfs.limit", 'Container a exceeded its local ephemeral storage limit "1Mi". '),
            id="container",
        ),
    ],
)
def test_limits_on_local_storage(spec: dict[str, Any], usage: PodUsage, expected: tuple[str, str] | None) -> None:
    limited = pod("p", **spec)
    assert has_limits(limited)
    assert excess(limited, usage, dedicated=False) == expected


def test_what_is_in_memory_is_not_measured() -> None:
    assert not has_limits(pod("p", volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}}]))


def test_a_directory_is_counted_as_du_does(tmp_path: Any) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").hardlink_to(tmp_path / "deep" / "file")
    (tmp_path / "away").symlink_to("/usr")
    found = directory_usage(tmp_path)
    assert found.inodes == 3 and 100_000 <= found.used < 200_000
    assert directory_usage(tmp_path / "none") == Disk()


def test_node_memory_is_total_less_working_set() -> None:
    text = "MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable: 900 kB\nInactive(file):  300 kB\n"
    assert node_memory(text) == Observation(400 * 1024, 1000 * 1024)


class _Runtime:
    """Two lives of a container and an init container that has ended, each with a layer of 1 MiB."""

    async def list_containers(self) -> list[cri.Container]:
        found = []
        for name, attempt, state in (
            ("c", 1, cri.CONTAINER_RUNNING),
            ("c", 0, cri.CONTAINER_EXITED),
            ("init", 0, cri.CONTAINER_EXITED),
        ):
            labels = {"io.kubernetes.pod.uid": "p", "io.kubernetes.container.name": name}
            metadata = cri.ContainerMetadata(name=name, attempt=attempt)
            found.append(cri.Container(id=f"{name}{attempt}", metadata=metadata, labels=labels, state=state))
        return found

    async def container_stats(self) -> list[cri.ContainerStats]:
        layer = cri.FilesystemUsage(used_bytes=cri.UInt64Value(value=MI), inodes_used=cri.UInt64Value(value=1))
        return [
            cri.ContainerStats(attributes=cri.ContainerAttributes(id=each.id), writable_layer=layer)
            for each in await self.list_containers()
        ]


async def test_only_what_runs_is_counted(tmp_path: Path) -> None:
    (tmp_path / "cgroup" / "kubepods" / "podp").mkdir(parents=True)
    (tmp_path / "cgroup" / "cgroup.controllers").touch()
    (tmp_path / "cgroup" / "kubepods" / "podp" / "memory.current").write_text(f"{GI}\n")
    runtime: Any = _Runtime()
    groups = Cgroups("/", Tree(tmp_path / "cgroup"))
    meter = Meter(runtime, runtime, Paths(tmp_path, tmp_path / "logs"), groups, GI)
    found = await meter.usage([pod("p")], disks=True)
    assert [(each.name, each.rootfs) for each in found["p"].containers] == [("c", Disk(MI, 1))]
    assert found["p"].memory == GI


class _Machine:
    """Numbers as a machine would have them; ending a pod frees its memory."""

    layout = Layout()

    def __init__(self, available: int, usages: Mapping[str, PodUsage]) -> None:
        self.free, self.usages = {"memory.available": available, "nodefs.available": 50 * GI}, dict(usages)

    async def observe(self) -> Mapping[str, Observation]:
        return {signal: Observation(amount, 100 * GI) for signal, amount in self.free.items()}

    async def usage(self, active: Sequence[Pod], *, disks: bool) -> Mapping[str, PodUsage]:
        return self.usages


class _Events:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.annotations: dict[str, Any] = {}

    def event(
        self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "", **more: Any
    ) -> None:
        self.said.append((obj["metadata"]["name"], reason))
        self.annotations[obj["metadata"]["name"]] = more.get("annotations")


class _Node:
    """A manager on a machine of numbers, with its hands."""

    def __init__(self, machine: _Machine, active: list[Pod], *listed: Threshold) -> None:
        self.machine, self.active, self.clock, self.events = machine, active, ManualClock(), _Events()
        self.ended: list[tuple[str, int, Verdict]] = []
        self.reclaimed: list[str] = []
        self.frees = 0
        hands = Hands(lambda: list(self.active), self._end, self._containers, self._images, lambda: None)
        policy = Policy(listed, enforce_pods=False, soft_grace=7)
        self.manager = EvictionManager(policy, machine, hands, Recorder(self.events, "node"), self.clock)

    async def _end(self, doomed: Pod, verdict: Verdict, grace: int) -> bool:
        self.ended.append((doomed["metadata"]["name"], grace, verdict))
        self.active.remove(doomed)
        return True

    async def _containers(self) -> None:
        self.reclaimed.append("containers")

    async def _images(self) -> None:
        self.reclaimed.append("images")
        self.machine.free["nodefs.available"] += self.frees


async def test_one_pod_a_round_and_never_a_critical_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    critical = pod("critical", priority=2_000_000_000)
    static = pod("static")
    static["metadata"]["annotations"] = {pods.CONFIG_SOURCE: "file"}
    active = [critical, static, pod("a"), pod("b")]
    usages = {name: PodUsage(amount * MI) for name, amount in (("critical", 900), ("static", 800), ("a", 5), ("b", 6))}
    node = _Node(_Machine(50 * MI, usages), active, hard("memory.available", "100Mi"))
    assert await node.manager.round() and await node.manager.round()
    assert [(name, grace) for name, grace, _ in node.ended] == [("b", 1), ("a", 1)]
    verdict = node.ended[0][2]
    assert verdict.reason == "Evicted" and verdict.message.startswith("The node was low on resource: memory. ")
    assert verdict.conditions[0]["type"] == "DisruptionTarget"
    assert verdict.conditions[0]["reason"] == "TerminationByKubelet"
    assert ("node", "EvictionThresholdMet") in node.events.said and ("b", "Evicted") in node.events.said
    assert not await node.manager.round(), "only those are left that may not be evicted"
    assert node.manager.conditions == ("MemoryPressure",) and node.reclaimed == []
    begin = [
        '"Eviction manager: attempting to reclaim" resourceName="memory"',
        '"Eviction manager: must evict pod(s) to reclaim" resourceName="memory"',
    ]
    ranked = '"Eviction manager: pods ranked for eviction" pods=["default/static"'
    untouched, last = (
        f'"Eviction manager: cannot evict a critical pod" pod="default/{name}"' for name in ("static", "critical")
    )
    gone = '"Eviction manager: pod is evicted successfully" pod="default/'
    assert caplog.messages == [
        *begin, f'{ranked},"default/b","default/a","default/critical"]', untouched, f'{gone}b"',
        *begin, f'{ranked},"default/a","default/critical"]', untouched, f'{gone}a"',
        *begin, f'{ranked},"default/critical"]', untouched, last,
        '"Eviction manager: unable to evict any pods from the node"',
    ]  # fmt: skip


async def test_a_soft_eviction_waits_and_gives_its_own_grace() -> None:
    soft = Threshold("memory.available", parse_amount("1Gi"), grace=60.0)
    node = _Node(_Machine(GI // 2, {"a": PodUsage(1)}), [pod("a")], soft)
    assert not await node.manager.round()
    await node.clock.advance(59)
    node.clock.jump(86400)
    assert not await node.manager.round(), "the wall clock does not count"
    await node.clock.advance(1)
    assert await node.manager.round()
    assert node.ended[0][:2] == ("a", 7)


@pytest.mark.parametrize(
    ("own", "overwrites", "grace"), [(None, False, 7), (30, False, 7), (4, False, 4), (0, False, 0), (4, True, 7)]
)
def test_a_soft_eviction_gives_no_pod_more_than_it_asks_for(own: int | None, overwrites: bool, grace: int) -> None:
    asked = {} if own is None else {"terminationGracePeriodSeconds": own}
    assert Policy((), soft_grace=7, overwrites=overwrites).grace(pod("a", **asked)) == grace


@pytest.mark.parametrize(("frees", "evicted"), [(20 * GI, []), (0, ["a"])])
async def test_a_full_disk_is_first_helped_by_collecting(frees: int, evicted: list[str]) -> None:
    machine = _Machine(50 * GI, {"a": PodUsage(containers=(ContainerUsage("c", 1, Disk(GI), Disk(0)),))})
    machine.free["nodefs.available"] = 5 * GI
    node = _Node(machine, [pod("a")], hard("nodefs.available", "10%"))
    node.frees = frees
    await node.manager.round()
    assert node.reclaimed == ["containers", "images"]
    assert [name for name, _, _ in node.ended] == evicted
    assert node.manager.conditions == ("DiskPressure",)
    if evicted:
        assert node.events.annotations["a"] == {
            "offending_containers": "c",
            "offending_containers_usage": "1Gi",
            "starved_resource": "ephemeral-storage",
        }


async def test_pods_over_their_own_limit_go_without_any_pressure() -> None:
    limited = pod("fat", volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}])
    node = _Node(_Machine(50 * GI, {"fat": PodUsage(volumes={"v": Disk(2 * MI)})}), [pod("slim"), limited])
    assert await node.manager.round()
    assert [(name, verdict.message) for name, _, verdict in node.ended] == [
        ("fat", 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ')
    ]
    assert node.manager.conditions == ()


TOLERATES: dict[str, Any] = {"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("signal", "asked", "refused"),
    [
        ("memory.available", pod("besteffort"), "The node had condition: [MemoryPressure]. "),
        ("memory.available", pod("burstable", memory="1Mi"), None),
        ("memory.available", pod("tolerant", **TOLERATES), None),
        ("memory.available", pod("critical", priority=2_000_000_000), None),
        ("nodefs.available", pod("burstable", memory="1Mi"), "The node had condition: [DiskPressure]. "),
        ("nodefs.available", pod("tolerant", **TOLERATES), "The node had condition: [DiskPressure]. "),
    ],
)
async def test_admission_under_pressure(signal: str, asked: Pod, refused: str | None) -> None:
    machine = _Machine(50 * GI, {})
    machine.free[signal] = 1
    node = _Node(machine, [], hard(signal, "10%"))
    assert node.manager.refusal(asked) is None
    await node.manager.round()
    assert node.manager.refusal(asked) == refused


def test_every_signal_has_a_resource_and_a_condition() -> None:
    assert {condition for _, condition in signals.SIGNALS.values()} == {"MemoryPressure", "DiskPressure", "PIDPressure"}
