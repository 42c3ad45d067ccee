"""What the Vagrantfile is told, what a machine from the box gets, and what the network leases."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from provisioner.cli_vagrant import describe_lab, find_box
from provisioner.drivers.vagrant import read_leases, render_identity, vagrant_key
from provisioner.home import LabHome
from provisioner.inventory import render_inventory
from provisioner.keys import ensure_keys, host_key, identity_public
from provisioner.shell import render_tar
from provisioner.specfile import parse_lab

LAB = parse_lab("name: v\nworkers: {count: 2, memory: 1Gi, vcpus: 3}\nnetwork: 192.168.90.0/24\n", driver="vagrant")


def test_machines_are_described_with_the_labs_names_addresses_and_sizes(tmp_path: Path) -> None:
    box = tmp_path / "images/box/0123456789abcdef/kubelab.box"
    told = describe_lab(LAB, LabHome(tmp_path, LAB.name), box, kvm=False)
    assert (told["name"], told["network"], told["driver"]) == ("kubelab-v", "192.168.90.0/24", "qemu")
    assert (told["box"], told["box_url"]) == ("kubelab-0123456789abcdef", str(box))
    assert [each["name"] for each in told["machines"]] == ["master-1", "worker-1", "worker-2"]
    assert told["machines"][2] == {
        "name": "worker-2",
        "ip": "192.168.90.22",
        "mac": LAB.machine("worker-2").mac,
        "vcpus": 3,
        "memory": 1024,
        "disk": 12,
        "console": str(tmp_path / "labs/v/disks/worker-2.console.log"),
    }
    assert describe_lab(LAB, LabHome(tmp_path, LAB.name), box, kvm=True)["driver"] == "kvm"


def test_without_a_box_there_is_no_place_to_get_it_from(tmp_path: Path) -> None:
    assert find_box(tmp_path) is None
    assert describe_lab(LAB, LabHome(tmp_path, LAB.name), None, kvm=False)["box_url"] is None


def test_newest_box_is_taken_and_a_half_built_one_is_not(tmp_path: Path) -> None:
    for number, name in enumerate((".building-0a-1", "0b", "0a")):
        box = tmp_path / "images/box" / name / "kubelab.box"
        box.parent.mkdir(parents=True)
        box.touch()
        os.utime(box, (1000 - number, 1000 - number))
    assert find_box(tmp_path) == tmp_path / "images/box/0b/kubelab.box"


def test_leases_of_a_network_are_read() -> None:
    lease = f"<dhcp><host mac='{LAB.master.mac}' name='master-1' ip='192.168.90.11'/></dhcp>"
    network = "<network><name>v</name><ip address='192.168.90.1' prefix='24'>{}</ip></network>"
    assert read_leases(network.format(lease)) == {LAB.master.mac: "192.168.90.11"}
    assert read_leases(network.format("")) == {}


def test_identity_has_the_labs_keys_and_leaves_vagrants_alone(tmp_path: Path) -> None:
    ensure_keys(tmp_path, LAB)
    worker, key = LAB.machine("worker-1"), host_key(tmp_path, "worker-1")
    files = render_identity(LAB, worker, identity_public(tmp_path), key)
    assert files["/etc/hostname"].data == b"worker-1\n"
    assert b"192.168.90.11\tmaster-1\n" in files["/etc/hosts"].data
    assert b"address replace 192.168.90.21/24 dev eth0\n" in files["/etc/kubelab/network"].data
    assert b"route replace default via 192.168.90.1 dev eth0\n" in files["/etc/kubelab/network"].data
    assert files["/etc/ssh/ssh_host_ed25519_key"].data == key.private
    assert files["/root/.ssh/authorized_keys2"].data.startswith(b"ssh-ed25519 ")
    assert "/root/.ssh/authorized_keys" not in files
    assert "/etc/machine-id" not in files
    with tarfile.open(fileobj=io.BytesIO(render_tar(files))) as archive:
        modes = {entry.name: entry.mode for entry in archive if entry.isfile()}
    private = {name for name, mode in modes.items() if mode == 0o600}
    assert private == {"etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys2"}


def test_key_is_where_vagrant_keeps_it() -> None:
    assert vagrant_key(Path("/p/.vagrant"), "master-1") == Path("/p/.vagrant/machines/master-1/libvirt/private_key")


def test_other_tools_reach_the_machines_by_ssh(tmp_path: Path) -> None:
    inventory = render_inventory(LAB, LabHome(tmp_path, LAB.name))
    assert "worker-2 ansible_host=192.168.90.22" in inventory
    assert "ansible_user=root" in inventory
