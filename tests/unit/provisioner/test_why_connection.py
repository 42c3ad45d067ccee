"""How the nodes are reached: by the lab's own ssh, or by plain ssh where the cluster is no lab of ours."""

from pathlib import Path

import pytest

from provisioner.cli_why_connection import reach_by_ssh
from provisioner.errors import BadInput
from provisioner.home import LabHome
from provisioner.specfile import parse_lab


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabHome:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path))
    monkeypatch.delenv("KUBELAB_LAB", raising=False)
    monkeypatch.chdir(tmp_path)
    made = LabHome(tmp_path, "one")
    made.create(parse_lab("name: one\ndriver: netns\n"))
    return made


def test_a_lab_is_reached_by_its_own_ssh(place: LabHome) -> None:
    assert reach_by_ssh(place.admin_conf, None).endswith(" -m provisioner ssh {node} --lab=one --")
    assert reach_by_ssh(Path("/elsewhere/admin.conf"), "one").endswith(" --lab=one --")


def test_another_cluster_is_reached_by_ssh(place: LabHome) -> None:
    assert reach_by_ssh(Path("/elsewhere/admin.conf"), None) == "ssh root@{node}"


def test_a_lab_that_is_not_there(place: LabHome) -> None:
    with pytest.raises(BadInput, match="no lab 'two'"):
        reach_by_ssh(place.admin_conf, "two")
