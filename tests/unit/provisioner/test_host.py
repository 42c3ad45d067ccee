"""What the host has and lacks, keys and inventory, what a lab may become, the checks' report."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.drivers.hostfacts import HostFacts, check_host, closed_to_others, read_facts
from provisioner.drivers.libvirtd import can_accelerate
from provisioner.home import LabHome
from provisioner.inventory import render_inventory, render_ssh_config
from provisioner.keys import ensure_keys, host_key, machine_id
from provisioner.lifecycle import check_change
from provisioner.spec import MIB, Network, NetworkV6
from provisioner.specfile import parse_lab
from provisioner.verify import read_report

LAB = parse_lab("")
PLENTY = HostFacts(memory=64 * 1024 * MIB, free_disk=10**12, routes=())


def test_a_host_with_enough_has_no_problem() -> None:
    assert check_host(LAB, PLENTY, own_device="kl-lab", new_disk=10**9) == []


def test_memory_disk_and_routes_are_all_told() -> None:
    facts = HostFacts(2048 * MIB, 10**6, ((Network("192.168.60.0/25"), "eth1"), (Network("10.100.0.0/16"), "tun0")))
    found = check_host(LAB, facts, own_device="kl-lab", new_disk=10**9)
    assert [problem.split(":")[0] for problem in found] == ["memory", "disk", "network", "serviceCIDR"]
    assert "3 machines ask for 4608Mi, and the host has 2Gi" in found[0]
    assert (
        found[2]
        == "network: 192.168.60.0/24 overlaps with 192.168.60.0/25, which is reached through eth1: choose another"
    )


def test_the_labs_own_bridge_is_no_clash() -> None:
    facts = HostFacts(PLENTY.memory, PLENTY.free_disk, ((LAB.network, "kl-lab"),))
    assert check_host(LAB, facts, own_device="kl-lab", new_disk=0) == []


def test_routes_are_read_from_the_kernels_table(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal:  1024 kB\n")
    (tmp_path / "net/route").write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "br0\t003CA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    facts = read_facts(tmp_path, proc=tmp_path)
    assert facts.memory == 1024 * 1024
    assert facts.routes == ((Network("192.168.60.0/24"), "br0"),)


def test_ipv6_routes_are_read_and_clash(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal:  1024 kB\n")
    (tmp_path / "net/route").write_text("Iface\n")
    settings = tmp_path / "sys/net/ipv6/conf/default"
    settings.mkdir(parents=True)
    (settings / "disable_ipv6").write_text("1\n")
    nobody, rest = "0" * 32 + " 00 " + "0" * 32, " 00000100 00000001 00000000 00000001 "
    (tmp_path / "net/ipv6_route").write_text(
        f"fd00006000000000{'0' * 16} 40 {nobody}{rest}    eth1\n"
        f"fe80000000000000{'0' * 16} 40 {nobody}{rest}    eth1\n"
        f"{'0' * 32} 00 {nobody}{rest}    eth1\n"
        f"{'0' * 31}1 80 {nobody}{rest}      lo\n"
    )
    facts = read_facts(tmp_path, proc=tmp_path)
    assert facts.routes == ((NetworkV6("fd00:60::/64"), "eth1"),)
    lab = parse_lab("networkv6: fd00:60::/64\npodCIDRv6: fd00:244::/48")
    found = check_host(lab, replace(facts, memory=PLENTY.memory), own_device="kl-lab", new_disk=0)
    assert found == [
        "networkv6: fd00:60::/64: this host has IPv6 turned off (net.ipv6.conf.default.disable_ipv6)",
        "networkv6: fd00:60::/64 is reached through eth1: choose another",
    ]


def test_a_closed_folder_on_the_way_is_found(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    tmp_path.chmod(0o755)
    assert closed_to_others(closed / "inner/disk") in (closed, *closed.parents)


@pytest.mark.parametrize(
    ("flags", "device", "expected"),
    [("fpu vmx", True, True), ("fpu svm", True, True), ("fpu", True, False), ("fpu vmx", False, False)],
)
def test_acceleration_needs_the_device_and_the_flag(tmp_path: Path, flags: str, device: bool, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name\t: x\nflags\t\t: {flags}\n")
    if device:
        (tmp_path / "kvm").touch()
    assert can_accelerate(tmp_path / "kvm", tmp_path / "cpuinfo") is expected


def test_keys_are_made_once_and_pinned(tmp_path: Path) -> None:
    ensure_keys(tmp_path, LAB)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ensure_keys(tmp_path, LAB)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    known = (tmp_path / "known_hosts").read_text()
    for machine in LAB.machines:
        assert f"{machine.name},{machine.ip} ssh-ed25519 {host_key(tmp_path, machine.name).public.split()[1]}" in known
    assert (tmp_path / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert len({machine_id(tmp_path, machine.name) for machine in LAB.machines}) == 3
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", tmp_path / "id_ed25519"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[:2] == (tmp_path / "id_ed25519.pub").read_text().split()[:2]


def test_inventory_and_ssh_configuration(tmp_path: Path) -> None:
    place = LabHome(tmp_path, "lab")
    text = render_inventory(LAB, place)
    assert "[masters]\nmaster-1 ansible_host=192.168.60.11\n" in text
    assert "worker-2 ansible_host=192.168.60.22" in text
    config = tmp_path / "config"
    config.write_text(render_ssh_config(LAB, place))
    done = subprocess.run(["ssh", "-G", "-F", config, "worker-1"], capture_output=True, text=True, check=True)
    words = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert (words["hostname"], words["user"], words["stricthostkeychecking"]) == ("192.168.60.21", "root", "true")


def test_a_lab_may_grow_and_nothing_else() -> None:
    assert check_change(LAB, parse_lab("workers: 3")) == []
    found = check_change(LAB, parse_lab("workers: 1\nnetwork: 10.1.0.0/24\ncontrolPlane: service\n"))
    assert [problem.split(":")[0] for problem in found] == ["network", "controlPlane", "workers"]
    assert check_change(LAB, parse_lab("masters: 3\nworkers: {memory: 2Gi}")) == [
        "masters: the lab lab was made with 1 and cannot become 3",
        "workers' size: the lab lab was made with vcpus 1, memory 1280Mi, disk 12288Mi "
        "and cannot become vcpus 1, memory 2048Mi, disk 12288Mi",
    ]


def test_a_lab_may_get_a_cloud_and_its_zones_and_keeps_them() -> None:
    cloudy = parse_lab("cloudProvider: external\nzones: 2\n")
    assert check_change(LAB, cloudy) == []
    found = check_change(cloudy, LAB)
    assert found[0] == "cloudProvider: the lab lab was made with external and cannot become none"
    assert [problem.split(":")[0] for problem in found] == ["cloudProvider", "zones"]
    assert check_change(cloudy, parse_lab("cloudProvider: external\nzones: 3\n"))


def test_a_skipped_check_counts_as_failed() -> None:
    machines, cluster = 'classname="tests.vm.test_1_machines"', 'classname="tests.vm.test_2_cluster"'
    xml = (
        f'<testsuites><testsuite><testcase {machines} name="test_unit_is_running[x]" time="0.5"/>'
        f'<testcase {machines} name="test_b" time="1"><skipped message="no"/></testcase>'
        f'<testcase {cluster} name="test_c" time="1"><failure message="why">long</failure></testcase>'
        "</testsuite></testsuites>"
    )
    found = read_report(xml)
    assert [(each.group, each.outcome) for each in found] == [
        ("1 machines", "passed"),
        ("1 machines", "failed"),
        ("2 cluster", "failed"),
    ]
    assert found[2].why == "why"
