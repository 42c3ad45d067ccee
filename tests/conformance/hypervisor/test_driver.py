"""What every hypervisor driver must do, on really booted machines. The contract is provisioner/drivers/base.py."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.drivers import Driver, State, make_driver
from provisioner.errors import LabError
from provisioner.home import LabHome, find_home
from provisioner.keys import ensure_keys
from provisioner.shell import CommandFailed, File, Shell, ShellError
from provisioner.spec import Machine
from provisioner.specfile import parse_lab

BOOT = 300.0
NETWORKS = {"libvirt": "192.168.62.0/24", "netns": "192.168.63.0/24"}


@pytest.fixture(scope="module", params=["netns", "libvirt"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A driver with its network made and one machine, master-1, not yet made."""
    name = str(request.param)
    text = f"name: conf-{name}\ndriver: {name}\nnetwork: {NETWORKS[name]}\nworkers: 0\n"
    lab = parse_lab(text + "masters: {vcpus: 1, memory: 1Gi}\n")
    place = LabHome(find_home(), lab.name)
    driver = make_driver(lab, place)
    assert driver.problems() == []
    place.create(lab)
    ensure_keys(place.ssh, lab)
    try:
        driver.prepare(print)
        driver.ensure_network()
        yield driver
    finally:
        for machine in lab.machines:
            driver.destroy(machine)
        driver.destroy_network()
        place.remove()


@pytest.fixture(scope="module")
def machine(driver: Driver) -> Machine:
    name = "conf-netns" if "namespaces" in driver.about else "conf-libvirt"
    return LabHome(find_home(), name).load().master


@pytest.fixture
def shell(driver: Driver, machine: Machine) -> Iterator[Shell]:
    """A shell on the machine, which is made and started when it is not."""
    driver.ensure_machine(machine)
    driver.start(machine)
    shell = driver.connect(machine, BOOT)
    yield shell
    shell.close()


def test_absent_at_first_then_off_then_the_same(driver: Driver, machine: Machine) -> None:
    assert driver.state(machine) is State.ABSENT
    assert driver.ensure_machine(machine)
    assert driver.state(machine) is State.OFF
    assert not driver.ensure_machine(machine)


def test_network_is_made_once(driver: Driver) -> None:
    assert not driver.ensure_network()


def test_off_machine_cannot_be_talked_to(driver: Driver, machine: Machine) -> None:
    driver.ensure_machine(machine)
    driver.power_off(machine)
    begun = time.monotonic()
    with pytest.raises(ShellError, match="instead of running"):
        driver.connect(machine, 60.0)
    assert time.monotonic() - begun < 30.0, "it waited for a machine that is off"


def test_starts_once_and_answers(driver: Driver, machine: Machine) -> None:
    driver.ensure_machine(machine)
    assert driver.start(machine)
    assert driver.state(machine) is State.RUNNING
    assert not driver.start(machine)
    shell = driver.connect(machine, BOOT)
    assert shell.run("hostname").text == f"{machine.name}\n"
    assert machine.ip in shell.run("ip -4 -o address show dev eth0").text
    assert machine.mac in shell.run("ip link show dev eth0").text
    shell.close()


def test_shell_gives_output_code_and_input(shell: Shell) -> None:
    result = shell.run("cat; echo error >&2; exit 3", b"from stdin", check=False)
    assert (result.stdout, result.stderr, result.code) == (b"from stdin", b"error\n", 3)
    with pytest.raises(CommandFailed, match="ended with code 4: the reason"):
        shell.run("echo the reason >&2; exit 4")


def test_shell_carries_megabytes_both_ways(shell: Shell) -> None:
    data = os.urandom(3_000_000)
    assert shell.run("cat", data, timeout=120.0).stdout == data


def test_shell_ends_a_command_in_time(shell: Shell) -> None:
    begun = time.monotonic()
    with pytest.raises(ShellError, match="did not end within 1 s"):
        shell.run("sleep 60", timeout=1.0)
    assert time.monotonic() - begun < 20.0
    assert shell.run("echo still here").text == "still here\n"


def test_files_are_put_with_their_mode_and_read_back(shell: Shell) -> None:
    shell.put("/etc/kubelab-test/secret", b"\x00\xffbytes", 0o600)
    shell.put_all(
        {"/etc/kubelab-test/a": File(b"a"), "/usr/local/bin/kubelab-test": File(b"#!/bin/sh\necho ran\n", 0o755)}
    )
    assert shell.get("/etc/kubelab-test/secret") == b"\x00\xffbytes"
    assert shell.run("stat -c '%a %U' /etc/kubelab-test/secret").text == "600 root\n"
    assert shell.run("kubelab-test").text == "ran\n"
    with pytest.raises(CommandFailed):
        shell.get("/etc/kubelab-test/absent")


def test_files_do_not_reach_the_host(shell: Shell) -> None:
    shell.put("/etc/kubelab-on-host", b"x")
    shell.put("/var/lib/kubelet/kubelab-on-host", b"x")
    assert not Path("/etc/kubelab-on-host").exists()
    assert not Path("/var/lib/kubelet/kubelab-on-host").exists()


def test_containerd_answers_and_has_the_images(shell: Shell) -> None:
    deadline = time.monotonic() + 60.0
    while True:
        result = shell.run("ctr -n k8s.io images list -q", check=False)
        if result.code == 0:
            break
        assert time.monotonic() < deadline, result.stderr
    assert "registry.k8s.io/pause:3.10" in result.text


def test_systemctl_knows_units(shell: Shell) -> None:
    assert shell.run("systemctl is-active containerd").text == "active\n"
    assert shell.run("systemctl is-active no-such-unit", check=False).code != 0
    assert shell.run("systemctl restart no-such-unit", check=False).code == 5


def test_what_is_written_survives_halt_and_power_off(driver: Driver, machine: Machine, shell: Shell) -> None:
    shell.put("/var/lib/kubelet/kept", b"kept")
    shell.run("sync")
    for off in (driver.halt, driver.power_off):
        off(machine)
        assert driver.state(machine) is State.OFF
        assert driver.start(machine)
        again = driver.connect(machine, BOOT)
        assert again.get("/var/lib/kubelet/kept") == b"kept"
        again.close()


def test_a_shell_finds_the_machine_again_after_a_restart(driver: Driver, machine: Machine, shell: Shell) -> None:
    driver.power_off(machine)
    with pytest.raises(LabError):
        shell.run("true", timeout=10.0)
    driver.start(machine)
    driver.connect(machine, BOOT).close()
    assert shell.run("echo back").text == "back\n"


def test_console_is_kept(driver: Driver, machine: Machine, shell: Shell) -> None:
    assert driver.console_tail(machine, 5)
    assert len(driver.console_tail(machine, 1)) == 1


def test_stop_ends_waiting(driver: Driver, machine: Machine) -> None:
    driver.ensure_machine(machine)
    driver.power_off(machine)
    driver.start(machine)
    begun = time.monotonic()
    try:
        driver.connect(machine, BOOT, lambda: True).close()
    except ShellError:
        pass
    assert time.monotonic() - begun < 30.0


def test_destroyed_machine_is_absent_and_made_anew(driver: Driver, machine: Machine, shell: Shell) -> None:
    shell.put("/root/old", b"old")
    driver.destroy(machine)
    assert driver.state(machine) is State.ABSENT
    driver.destroy(machine)
    assert driver.ensure_machine(machine)
    driver.start(machine)
    fresh = driver.connect(machine, BOOT)
    assert fresh.run("test -e /root/old", check=False).code == 1
    fresh.close()


def test_destroy_leaves_nothing(driver: Driver, machine: Machine) -> None:
    driver.destroy(machine)
    driver.destroy_network()
    assert driver.state(machine) is State.ABSENT
    name = "conf-netns" if "namespaces" in driver.about else "conf-libvirt"
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    assert f"kl-{name}" not in links
    assert not list(Path("/run/netns").glob(f"kubelab-{name}-*"))
    assert not list(Path("/sys/fs/cgroup").glob(f"*/kubelab-{name}"))
