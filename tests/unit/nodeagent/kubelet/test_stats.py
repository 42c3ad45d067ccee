"""Reading cgroup files as they were recorded on machines with v1 and v2, and what is rendered of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.kubelet.cgroups.tree import Tree
from nodeagent.kubelet.eviction.usage import Disk
from nodeagent.kubelet.node.machine import Filesystem, Machine, processes
from nodeagent.kubelet.observed import operation_type
from nodeagent.kubelet.stats.block_io import BlockIo, read_v1, read_v2
from nodeagent.kubelet.stats.cadvisor import Series, labelled, render_cadvisor
from nodeagent.kubelet.stats.cgroup import Reader, Usage
from nodeagent.kubelet.stats.claims import render_claims
from nodeagent.kubelet.stats.disk import DiskCache, writable_layer
from nodeagent.kubelet.stats.exposition import Family, render
from nodeagent.kubelet.stats.network import Interface, default_interface, parse_net_dev
from nodeagent.kubelet.stats.node import NodeStats, node_usage
from nodeagent.kubelet.stats.provider import ContainerStats, PodStats, VolumeStats
from nodeagent.kubelet.stats.resource import render_resource
from nodeagent.kubelet.stats.summary import Rates, render_summary

NOW = (1_700_000_000_500_000_000, 9_000_000_000)

V2 = {
    "cpu.stat": "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\ncore_sched.force_idle_usec 0\n"
    "nr_periods 40\nnr_throttled 7\nthrottled_usec 900000\nnr_bursts 0\nburst_usec 0\n",
    "cpu.max": "20000 100000\n",
    "cpu.weight": "4\n",
    "memory.current": "10485760\n",
    "memory.max": "33554432\n",
    "memory.peak": "20971520\n",
    "memory.swap.current": "4096\n",
    "memory.swap.max": "8192\n",
    "memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n",
    "memory.stat": "anon 3145728\nfile 6291456\nkernel 1048576\nfile_mapped 2097152\ninactive_anon 3145728\n"
    "active_anon 0\ninactive_file 4194304\nactive_file 2097152\npgfault 5000\npgmajfault 20\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "cgroup.procs": "100\n101\n",
    # A line of no figures is what the kernel has of a device that was not used.
    "io.stat": "8:16 \n9999:1 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
}
V1 = {
    "cpuacct/cpuacct.usage": "1234567000\n",
    "cpuacct/cpuacct.stat": "user 100\nsystem 23\n",
    "cpu/cpu.stat": "nr_periods 40\nnr_throttled 7\nthrottled_time 900000000\n",
    "cpu/cpu.shares": "102\n",
    "cpu/cpu.cfs_quota_us": "20000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "memory/memory.usage_in_bytes": "10485760\n",
    "memory/memory.max_usage_in_bytes": "20971520\n",
    "memory/memory.failcnt": "12\n",
    "memory/memory.kmem.usage_in_bytes": "1048576\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "memory/memory.stat": "cache 1\nrss 1\nhierarchical_memory_limit 33554432\nhierarchical_memsw_limit 8192\n"
    "total_cache 6291456\ntotal_rss 3145728\n"
    "total_mapped_file 2097152\ntotal_swap 4096\ntotal_pgfault 5000\ntotal_pgmajfault 20\n"
    "total_inactive_file 4194304\n",
    "memory/cgroup.procs": "100\n101\n",
    "pids/pids.current": "3\n",
    "pids/pids.max": "max\n",
    "blkio/blkio.bfq.io_service_bytes_recursive": "Total 0\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "9999:1 Read 4096\n9999:1 Write 8192\nTotal 12288\n",
    "blkio/blkio.throttle.io_serviced_recursive": "9999:1 Read 1\n9999:1 Write 2\n9999:1 Total 3\nTotal 3\n",
}


def recorded(mount: Path, version: str) -> Reader:
    files = {f"podx/{name}": text for name, text in V2.items()}
    if version == "v1":
        files = {name.replace("/", "/podx/", 1): text for name, text in V1.items()}
    else:
        files["cgroup.controllers"] = "cpuset cpu io memory hugetlb pids\n"
    for name, text in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)
    return Reader(Tree(mount), lambda: NOW)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_both_versions_tell_the_same(tmp_path: Path, version: str) -> None:
    reader = recorded(tmp_path, version)
    usage = reader.usage("/podx")
    assert usage is not None and reader.usage("/gone") is None
    assert (usage.at, usage.tick, usage.cpu, usage.memory, usage.limit) == (*NOW, 1_234_567_000, 10 << 20, 32 << 20)
    assert (usage.working_set, usage.rss, usage.swap, usage.swap_limit) == (6 << 20, 3 << 20, 4096, 8192)
    assert render_summary("", node(), [], usage, None, Rates())["node"]["systemContainers"][0]["swap"] == {
        "time": "2023-11-14T22:13:20Z", "swapUsageBytes": 4096, "swapAvailableBytes": 4096
    }  # fmt: skip
    assert (usage.page_faults, usage.major_faults) == (5000, 20)
    details = reader.details("/podx", usage)
    assert details is not None
    assert (details.periods, details.throttled_periods, details.throttled) == (40, 7, 900_000_000)
    assert (details.cache, details.mapped, details.most, details.kernel) == (6 << 20, 2 << 20, 20 << 20, 1 << 20)
    assert (details.failures, details.oom_kills) == (12, 1)
    assert (details.processes, details.threads, details.threads_most) == (2, 3, 0)
    assert (details.quota, details.period) == (20_000, 100_000) and abs(details.shares - 102) < 27
    [device] = details.io
    assert (device.major, device.minor, device.device) == (9999, 1, "")
    assert (device.bytes["Read"], device.bytes["Write"]) == (4096, 8192)
    assert (device.served["Read"], device.served["Write"]) == (1, 2)
    assert details.cpu_user == 1_000_000_000 and 230_000_000 <= details.cpu_system < 240_000_000


def test_no_limit(tmp_path: Path) -> None:
    reader = recorded(tmp_path, "v2")
    for name in ("memory.max", "memory.swap.max"):
        (tmp_path / "podx" / name).write_text("max\n")
    usage = reader.usage("/podx")
    assert usage is not None and usage.limit is None and usage.swap_limit is None
    (tmp_path / "podx/memory.swap.max").unlink()
    uncounted = reader.usage("/podx")
    assert uncounted is not None and uncounted.swap_limit == 0
    (tmp_path / "podx/memory.current").write_text("1\n")
    small = reader.usage("/podx")
    assert small is not None and small.working_set == 0


NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier
    lo:  100  1    0    0    0     0          0         0     100       1    0    0    0     0       0          0
  eth0: 5000  50    1    2    0     0          0         0    7000      70    3    4    0     0       0          0
veth12ab: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
"""


def test_network() -> None:
    assert parse_net_dev(NET_DEV) == [Interface("eth0", 5000, 50, 1, 2, 7000, 70, 3, 4)]
    route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
    assert default_interface(route + "x\t0001A8C0\t0\t1\t0\t0\t0\t00FFFFFF\t0\t0\t0\n") == ""
    assert default_interface(route + "ens3\t00000000\t0101A8C0\t3\t0\t0\t0\t00000000\t0\t0\t0\n") == "ens3"


def test_the_writable_layer_of_a_container() -> None:
    overlay = "26 25 0:30 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/var/a\\040b/fs,workdir=/w\n"
    assert writable_layer("1 2 0:1 / /proc rw - proc proc rw\n" + overlay) == Path("/var/a b/fs")
    assert writable_layer("26 25 0:30 / / rw,relatime - ext4 /dev/vda rw\n") is None
    assert writable_layer("26 25 0:30 / / rw shared:1 - overlay overlay rw,lowerdir=/l\n") is None


async def test_counting_is_remembered_for_a_minute() -> None:
    asked: list[Path] = []
    clock = ManualClock()

    def count(place: Path) -> Disk:
        asked.append(place)
        return Disk(len(asked), 1)

    cache = DiskCache(count, clock)
    assert await cache.usage(Path("/a")) == await cache.usage(Path("/a")) == Disk(1, 1)
    await clock.advance(60)
    assert await cache.usage(Path("/a")) == Disk(2, 1)
    cache.forget()
    assert await cache.usage(Path("/a")) == Disk(2, 1)
    await clock.advance(121)
    cache.forget()
    assert await cache.usage(Path("/a")) == Disk(3, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.5, "1.5"),
        (123456, "123456"),
        (1234567, "1.234567e+06"),
        (10485760, "1.048576e+07"),
        (1_700_000_000, "1.7e+09"),
        (2e-09, "2e-09"),
        (1700000000.5, "1.7000000005e+09"),
    ],
)
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    family = Family("x", "gauge", "X.", [({}, value, 0)])
    assert render([family]).splitlines()[-1] == f"x {text}".encode()


def test_labels_are_sorted_and_escaped() -> None:
    family = Family("x_total", "counter", "X.")
    family.add(1, NOW[0], {"b": 'q"\\\n', "a": ""})
    assert render([Family("never", "gauge", "-"), family]).decode() == (
        '# HELP x_total X.\n# TYPE x_total counter\nx_total{a="",b="q\\"\\\\\\n"} 1 1700000000500\n'
    )


def usage(cpu: int = 2_000_000_000, tick: int = NOW[1], limit: int | None = None) -> Usage:
    return Usage(NOW[0], tick, cpu, 10 << 20, 6 << 20, 3 << 20, 5000, 20, 0, limit, {})


FS = Filesystem(100 << 30, 60 << 30, 1000, 400)


def pod(**more: Any) -> PodStats:
    container = ContainerStats(
        "main", "c1", "busybox", 10**18, "/k/podx/c1", usage(limit=32 << 20), Disk(10, 2), Disk(5, 1)
    )
    sandbox = ContainerStats("", "s1", "", 10**18, "/k/podx/s1", usage())
    volumes = {"data": VolumeStats(Disk(100, 3), FS, True), "memory": VolumeStats(Disk(7, 1), FS, False)}
    volumes["claimed"] = VolumeStats(Disk(50, 5), FS, False, "mine")
    interfaces = parse_net_dev(NET_DEV)
    return PodStats(
        "p", "n", "x", 10**18, "/k/podx", usage(), sandbox, interfaces, (container,), processes=4, volumes=volumes
    )


def node() -> NodeStats:
    return NodeStats(usage(limit=1 << 30), 1_600_000_000, tuple(parse_net_dev(NET_DEV)), "eth0", 300, 32768, FS)


def test_the_summary() -> None:
    rates = Rates()
    first = render_summary("one", node(), [pod()], usage(), None, rates)
    assert "usageNanoCores" not in first["node"]["cpu"]
    later = node()
    later = NodeStats(usage(3_000_000_000, NOW[1] + 2_000_000_000, 1 << 30), *(getattr(later, f) for f in (
        "started", "interfaces", "default", "tasks", "tasks_most", "file_system")))  # fmt: skip
    found = render_summary("one", later, [pod()], usage(), (FS, Disk(9, 8)), rates)
    told = found["node"]
    assert told["nodeName"] == "one" and told["startTime"] == "2020-09-13T12:26:40Z"
    assert told["cpu"]["usageNanoCores"] == 500_000_000
    assert told["memory"]["availableBytes"] == (1 << 30) - (6 << 20)
    assert told["network"]["name"] == "eth0" and told["network"]["rxBytes"] == 5000
    assert told["runtime"]["imageFs"]["usedBytes"] == 9 and told["rlimit"]["maxpid"] == 32768
    assert [each["name"] for each in told["systemContainers"]] == ["pods"]
    [shown] = found["pods"]
    assert shown["podRef"] == {"name": "p", "namespace": "n", "uid": "x"}
    assert shown["ephemeral-storage"]["usedBytes"] == 115 and shown["process_stats"] == {"process_count": 4}
    assert [volume["name"] for volume in shown["volume"]] == ["claimed", "data", "memory"]
    assert [volume.get("pvcRef") for volume in shown["volume"]] == [{"name": "mine", "namespace": "n"}, None, None]
    [container] = shown["containers"]
    assert container["rootfs"]["usedBytes"] == 10 and container["logs"]["inodesUsed"] == 1
    assert container["memory"]["availableBytes"] == 26 << 20 and "availableBytes" not in shown["memory"]


def test_the_brief_summary() -> None:
    found = render_summary("one", node(), [pod()], None, None, Rates(), only_cpu_and_memory=True)
    assert set(found["node"]) == {"nodeName", "systemContainers", "startTime", "cpu", "memory", "swap"}
    assert set(found["pods"][0]) == {"podRef", "startTime", "containers", "cpu", "memory", "swap"}
    assert set(found["pods"][0]["containers"][0]) == {"name", "startTime", "cpu", "memory", "swap"}


def test_resource_metrics() -> None:
    lines = render_resource(usage(), [pod()]).decode().splitlines()
    named = 'container="main",namespace="n",pod="p"'
    assert f"container_cpu_usage_seconds_total{{{named}}} 2 1700000000500" in lines
    assert f"container_start_time_seconds{{{named}}} 1e+09" in lines
    assert 'pod_memory_working_set_bytes{namespace="n",pod="p"} 6.291456e+06 1700000000500' in lines
    assert "node_cpu_usage_seconds_total 2 1700000000500" in lines and "resource_scrape_error 0" in lines
    assert render_resource(None, []).decode().splitlines()[2:] == ["resource_scrape_error 1"]


def test_claims() -> None:
    full = VolumeStats(Disk(50, 5), FS, False, "mine")
    text = render_claims([("n", full), ("n", full)]).decode()
    named = '{namespace="n",persistentvolumeclaim="mine"}'
    assert text.count("kubelet_volume_stats_used_bytes{") == 1
    assert f"kubelet_volume_stats_used_bytes{named} 50\n" in text
    assert f"kubelet_volume_stats_capacity_bytes{named} 1.073741824e+11\n" in text
    assert render_claims([]) == b""


def test_cadvisor_metrics(tmp_path: Path) -> None:
    reader = recorded(tmp_path, "v2")
    found = reader.usage("/podx")
    assert found is not None
    labels = labelled("/k/podx/c1", container="main", image="busybox", name="c1", pod="p", namespace="n")
    machine = Machine(2, 1 << 30, 0, "m", "u", "b", "6.1", "Debian", "amd64", {}, 2, 1)
    series = [
        Series(labels, found, 1e9, reader.details("/podx", found), parse_net_dev(NET_DEV), (Disk(10, 2), "overlay", 99))
    ]
    lines = render_cadvisor(series, machine, "containerd://1.6").decode().splitlines()
    text = 'container="main",id="/k/podx/c1",image="busybox",name="c1",namespace="n",pod="p"'
    assert (
        f'container_cpu_usage_seconds_total{{container="main",cpu="total",{text[17:]}}} 1.234567 1700000000500' in lines
    )
    assert f"container_memory_working_set_bytes{{{text}}} 6.291456e+06 1700000000500" in lines
    assert f"container_cpu_cfs_throttled_seconds_total{{{text}}} 0.9 1700000000500" in lines
    assert (
        "# TYPE container_memory_failcnt counter" in lines
        and f"container_oom_events_total{{{text}}} 1 1700000000500" in lines
    )
    assert any(line.startswith("container_network_transmit_packets_dropped_total") and " 4 " in line for line in lines)
    assert (
        'machine_cpu_cores{boot_id="b",machine_id="m",system_uuid="u"} 2' in lines
        and "container_scrape_error 0" in lines
    )
    on = 'container="main",device="",id="/k/podx/c1",image="busybox"'
    rest = 'name="c1",namespace="n"'
    assert f'container_fs_writes_bytes_total{{{on},{rest},pod="p"}} 8192 1700000000500' in lines
    assert f'container_fs_reads_total{{{on},{rest},pod="p"}} 1 1700000000500' in lines
    numbered = f'{on},major="9999",minor="1",{rest},operation="Write",pod="p"'
    assert f"container_blkio_device_usage_total{{{numbered}}} 8192 1700000000500" in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert names == sorted(set(names))


def test_a_device_by_its_name(tmp_path: Path) -> None:
    devices, cgroup = tmp_path / "devices", tmp_path / "cgroup"
    for folder in (devices, cgroup, tmp_path / "vda"):
        folder.mkdir()
    (devices / "253:0").symlink_to(tmp_path / "vda")
    (cgroup / "io.stat").write_text("253:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n")
    assert read_v2(cgroup, devices) == (BlockIo(253, 0, "/dev/vda", {"Read": 1, "Write": 2}, {"Read": 3, "Write": 4}),)
    assert read_v1(cgroup, devices) == ()


def test_the_machine_is_told_alike_on_both_versions() -> None:
    stat = "cpu  100 10 50 9999 99 5 5 0 0 0\ncpu0 1 1\nbtime 1600000000\n"
    memory = "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 200 kB\nAnonPages: 90 kB\n"
    found = node_usage(NOW, stat, memory, "pgfault 7\npgmajfault 1\n")
    assert found.cpu == 170 * 10_000_000 and found.memory == 700 * 1024 and found.working_set == 500 * 1024
    assert (found.rss, found.limit, found.page_faults) == (90 * 1024, 1000 * 1024, 7)


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("RunPodSandbox", "run_podsandbox"),
        ("PodSandboxStatus", "podsandbox_status"),
        ("ListContainers", "list_containers"),
        ("ExecSync", "exec_sync"),
        ("ImageFsInfo", "image_fs_info"),
        ("UpdateContainerResources", "update_container"),
    ],
)
def test_operations_are_called_as_upstream_calls_them(method: str, operation: str) -> None:
    assert operation_type(method) == operation


def test_processes_are_limited_by_what_ends_first(tmp_path: Path) -> None:
    (kernel := tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/loadavg").write_text("0.10 0.20 0.30 1/250 4711\n")
    assert processes(tmp_path) == (250, 0)
    (kernel / "pid_max").write_text("4194304\n")
    assert processes(tmp_path) == (250, 4194304)
    (kernel / "threads-max").write_text("15471\n")
    assert processes(tmp_path) == (250, 15471)
