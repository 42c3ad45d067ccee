"""Nodes of a dual-stack cluster are given a pod subnet of each family, kept over a restart, no other node's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.process import ControlPlane, wait_until

NODES = "/api/v1/nodes"


class DualStack(ControlPlane):
    def argv(self) -> list[str]:
        return [*super().argv(), "--cluster-cidr=10.200.0.0/16,fd00:200::/48"]


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[DualStack]:
    found = DualStack(tmp_path / "data", "sqlite")
    found.start()
    yield found
    assert found.stop() == 0, found.log


def register(plane: ControlPlane, name: str) -> list[str]:
    """The subnets that the node is given."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    assert plane.request("POST", NODES, node).code == 201

    def spec() -> Any:
        return plane.request("GET", f"{NODES}/{name}").json["spec"].get("podCIDRs")

    found: list[str] = wait_until(f"{name} has subnets", spec)
    assert plane.request("GET", f"{NODES}/{name}").json["spec"]["podCIDR"] == found[0]
    return found


def test_a_subnet_of_each_family(plane: DualStack) -> None:
    assert register(plane, "one") == ["10.200.0.0/24", "fd00:200::/64"]
    assert register(plane, "two") == ["10.200.1.0/24", "fd00:200:0:1::/64"]
    assert plane.stop() == 0
    plane.start()
    assert register(plane, "three") == ["10.200.2.0/24", "fd00:200:0:2::/64"]
