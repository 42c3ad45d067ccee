"""What a kubelet leaves to a cloud controller manager (--cloud-provider=external)."""

from __future__ import annotations

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.kubelet.config import load
from nodeagent.kubelet.node.render import external_addresses, external_registration, new_node


def test_the_node_registers_tainted_and_tells_its_own_address() -> None:
    taint, annotations = external_registration(("10.0.0.21", "fd00::21"))
    node = new_node("worker-1", {}, (taint,), "", {}, annotations)
    assert node["spec"] == {
        "taints": [{"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}]
    }
    assert node["metadata"]["annotations"] == {
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        "alpha.kubernetes.io/provided-node-ip": "10.0.0.21,fd00::21",
    }
    assert external_registration(())[1] == {}


def test_addresses_are_the_clouds_once_it_has_spoken() -> None:
    shown = [{"type": "InternalIP", "address": "10.0.0.9"}, {"type": "Hostname", "address": "w"}]
    assert external_addresses(shown, "worker-1", ("10.0.0.21",)) == shown
    hostname = {"type": "Hostname", "address": "worker-1"}
    assert external_addresses([], "worker-1", ("10.0.0.21",)) == [
        {"type": "InternalIP", "address": "10.0.0.21"},
        hostname,
    ]
    assert external_addresses([], "worker-1", ()) == [hostname]


def test_no_other_provider_is_built_in() -> None:
    with pytest.raises(ConfigError, match="--cloud-provider: 'aws': must be empty or external"):
        load(["--cloud-provider=aws"])
