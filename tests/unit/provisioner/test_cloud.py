"""The cloud controller manager as the provisioner sees it: its configuration, its process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.cloud.kubelab.lab import parse_lab as parse_cloud_config
from provisioner import cloudmanager
from provisioner.cli import run
from provisioner.content import machine_files
from provisioner.drivers import Local, make_driver
from provisioner.errors import LabError
from provisioner.home import LabHome
from provisioner.plan import plan_up
from provisioner.spec import Lab
from provisioner.specfile import parse_lab
from provisioner.steps.cloud import render_cloud_config

ROOT = Path(__file__).parents[3]
TEXT = (
    "name: cloudy\ndriver: netns\nworkers: 1\ncloudProvider: external\nloadBalancers: 192.168.60.200-192.168.60.209\n"
)


@pytest.fixture
def lab() -> Lab:
    return parse_lab(TEXT)


@pytest.fixture
def home(tmp_path: Path, lab: Lab) -> Iterator[LabHome]:
    home = LabHome(tmp_path, lab.name)
    home.create(lab)
    yield home
    cloudmanager.stop(home)


def test_what_is_written_can_be_read(lab: Lab, home: LabHome) -> None:
    """One side writes, another reads, and they share no code."""
    found = parse_cloud_config(render_cloud_config(lab, make_driver(lab, home)))
    assert (found.name, found.driver, found.region, found.networks) == (lab.name, "netns", lab.name, (lab.network,))
    assert [str(pool) for pool in found.pools.values()] == ["192.168.60.200-192.168.60.209"]
    assert found.pods == ("10.244.0.0/16",)
    worker = found.machines["worker-1"]
    assert (worker.addresses, worker.zone, worker.instance_type) == (("192.168.60.21",), "cloudy-a", "1cpu-1280Mi")
    assert worker.where == str(home.machine_dir("worker-1"))


def test_both_families_can_be_read(home: LabHome) -> None:
    lab = parse_lab(f"{TEXT}networkv6: fd00:60::/64\npodCIDRv6: fd00:244::/48\n")
    found = parse_cloud_config(render_cloud_config(lab, make_driver(lab, home)))
    assert found.networks == (lab.network, lab.network_v6)
    assert {version: str(pool) for version, pool in found.pools.items()} == {
        4: "192.168.60.200-192.168.60.209",
        6: "fd00:60::200-fd00:60::213",
    }
    assert found.machines["worker-1"].addresses == ("192.168.60.21", "fd00:60::21")
    assert found.pods == ("10.244.0.0/16", "fd00:244::/48")


def test_only_a_lab_with_a_cloud_has_a_manager(lab: Lab) -> None:
    assert "lab/cloud" in [step.id for step in plan_up(lab)]
    assert "lab/cloud" not in [step.id for step in plan_up(parse_lab(""))]


def test_what_machines_are_told(lab: Lab, tmp_path: Path) -> None:
    for name in ("kubelet-worker-1.conf", "kube-proxy.conf", "pki/ca.crt", "pki/kubelet-worker-1.crt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "pki/kubelet-worker-1.key").touch()

    def texts(lab: Lab) -> tuple[str, str]:
        files = machine_files(lab, lab.machine("worker-1"), tmp_path, "code", Local("", "/usr/bin/python3"))
        flags = files["/var/lib/kubelet/kubeadm-flags.env"].data.decode()
        return flags, files["/etc/systemd/system/kube-proxy.service"].data.decode()

    flags, unit = texts(lab)
    assert " --cloud-provider=external --hostname-override=worker-1 " in flags
    assert "--announce-addresses=192.168.60.200-192.168.60.209\n" in unit
    flags, unit = texts(parse_lab(f"{TEXT}networkv6: fd00:60::/64\npodCIDRv6: fd00:244::/48\n"))
    assert " --node-ip=192.168.60.21,fd00:60::21" in flags
    assert "--announce-addresses=192.168.60.200-192.168.60.209,fd00:60::200-fd00:60::213\n" in unit
    flags, unit = texts(parse_lab(""))
    assert "cloud-provider" not in flags and "announce" not in unit


def test_a_manager_that_ends_at_once_is_told_of(home: LabHome) -> None:
    home.cloud_config.write_text("{}")
    with pytest.raises(LabError, match="cloud-controller-manager: it ended at once"):
        cloudmanager.ensure_running(home, ROOT, "one")
    assert cloudmanager.find(home) == []


def test_one_manager_started_once_and_anew_for_other_code(lab: Lab, home: LabHome) -> None:
    """It needs no API server to start: it waits for one."""
    home.cloud_config.write_text(render_cloud_config(lab, make_driver(lab, home)))
    home.cloud_conf.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "users: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    assert cloudmanager.ensure_running(home, ROOT, "one")
    first = cloudmanager.find(home)
    assert len(first) == 1
    assert not cloudmanager.ensure_running(home, ROOT, "one")
    assert cloudmanager.find(home) == first
    assert cloudmanager.ensure_running(home, ROOT, "two")
    assert len(second := cloudmanager.find(home)) == 1 and second != first
    cloudmanager.stop(home)
    assert cloudmanager.find(home) == []


def test_what_it_said(home: LabHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(home.home))
    assert run(["logs", "host", "--json"]) == 2
    assert "the lab cloudy has no cloud controller manager" in capsys.readouterr().out
    home.cloud_log.write_text("one\ntwo\nthree\n")
    assert run(["logs", "host", "-n", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"node": "host", "unit": "cloud-controller-manager", "lines": ["two", "three"]}


def test_what_only_bears_the_name_is_left_alone(home: LabHome) -> None:
    argv = [sys.executable, "-c", "input()", f"--cloud-config={home.cloud_config}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as other:
        assert cloudmanager.find(home) == []
        other.kill()
