"""Is a machine there, is it on: folders and processes, and libvirt's own test driver."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from apimachinery.kit.started import started_at
from controlplane.cloud.kubelab.instances import LabInstances
from controlplane.cloud.kubelab.lab import LabFile, MachineSpec
from controlplane.cloud.kubelab.power import Hypervisor, Libvirt, Namespaces, Power
from controlplane.cloud.provider import CloudProblem

#: libvirt's test driver has one domain, of this name, which runs.
URI, DOMAIN = "test:///default", "test"


def _power(hypervisor: Hypervisor, where: str, uuid: str = "") -> Power:
    return asyncio.run(hypervisor.power(MachineSpec("m", ("10.0.0.2",), "z", "t", where, uuid)))


def test_namespaces(tmp_path: Path) -> None:
    hypervisor, folder = Namespaces(), tmp_path / "m"
    assert _power(hypervisor, str(folder)) is Power.ABSENT
    folder.mkdir()
    assert _power(hypervisor, str(folder)) is Power.ABSENT
    (folder / "made").touch()
    assert _power(hypervisor, str(folder)) is Power.OFF
    for started, expected in ((started_at(os.getpid()), Power.ON), ("1", Power.OFF)):
        (folder / "process.json").write_text(json.dumps({"pid": os.getpid(), "started": started}))
        assert _power(hypervisor, str(folder)) is expected
    (folder / "process.json").write_text("{")
    with pytest.raises(CloudProblem, match="m: "):
        _power(hypervisor, str(folder))


@pytest.fixture
def domain() -> Iterator[Any]:
    """The driver's state is shared by all connections of a process."""
    connection = libvirt.open(URI)
    found = connection.lookupByName(DOMAIN)
    yield found
    if not found.isActive():
        found.create()
    connection.close()


def test_libvirt(domain: Any) -> None:
    hypervisor = Libvirt(URI)
    assert _power(hypervisor, DOMAIN) is Power.ON
    assert _power(hypervisor, DOMAIN, domain.UUIDString()) is Power.ON
    assert _power(hypervisor, DOMAIN, "6695eb01-f6a4-8304-79aa-97f2502e193e") is Power.ABSENT
    assert _power(hypervisor, "another") is Power.ABSENT
    domain.destroy()
    assert _power(hypervisor, DOMAIN) is Power.OFF


def test_a_libvirt_that_does_not_answer_says_nothing_of_machines() -> None:
    with pytest.raises(CloudProblem, match="m: libvirt: "):
        _power(Libvirt("test:///nowhere.xml"), DOMAIN)


def _node(name: str, provider_id: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"providerID": provider_id} if provider_id else {}}


def test_nodes_and_machines(tmp_path: Path) -> None:
    machine = {"name": "a", "addresses": ["10.0.0.2"], "zone": "z", "instance_type": "t", "where": str(tmp_path / "a")}
    plain: dict[str, Any] = {
        "name": "lab", "driver": "netns", "region": "r", "networks": ["10.0.0.0/24"], "pods": [], "machines": [machine],
    }  # fmt: skip
    config = tmp_path / "cloud.json"
    config.write_text(json.dumps(plain))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/made").touch()
    instances = LabInstances(LabFile(config), Namespaces())

    def exists(node: dict[str, Any]) -> bool:
        return asyncio.run(instances.exists(node))

    assert exists(_node("a")) and exists(_node("renamed", "kubelab://lab/a"))
    assert not exists(_node("b")) and not exists(_node("a", "kubelab://other/a"))
    with pytest.raises(CloudProblem, match="'aws:///i-1'"):
        exists(_node("a", "aws:///i-1"))
    assert asyncio.run(instances.shutdown(_node("a")))
    assert asyncio.run(instances.metadata(_node("a"))).provider_id == "kubelab://lab/a"
    with pytest.raises(CloudProblem, match="instance not found"):
        asyncio.run(instances.metadata(_node("b")))
    # The lab grows, and then its folder is lost.
    (tmp_path / "b").mkdir()
    (tmp_path / "b/made").touch()
    grown = [machine, {**machine, "name": "b", "where": str(tmp_path / "b")}]
    config.unlink()
    config.write_text(json.dumps({**plain, "machines": grown}))
    assert exists(_node("b"))
    config.unlink()
    with pytest.raises(CloudProblem, match=r"cloud\.json: FileNotFoundError"):
        exists(_node("a"))
