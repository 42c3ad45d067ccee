"""Pure parts of the node loop."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.meta.cloud import PROVIDED_IP
from apimachinery.meta.taints import SHUTDOWN, UNINITIALIZED
from controlplane.cloud.node_plan import (
    is_uninitialized,
    plan_addresses,
    plan_initialization,
    plan_labels,
    plan_shutdown,
)
from controlplane.cloud.provider import CloudProblem, InstanceMetadata

Object = dict[str, Any]

FOUND = InstanceMetadata(
    "kubelab://lab/worker-1", "2cpu-2Gi", "lab-a", "lab", (("InternalIP", "10.0.0.21"), ("Hostname", "worker-1"))
)
SHOWN = [{"type": "InternalIP", "address": "10.0.0.21"}, {"type": "Hostname", "address": "worker-1"}]


def _node(**changes: Any) -> Object:
    taints = changes.get("taints", [{"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}])
    return {
        "metadata": {
            "name": "worker-1",
            "resourceVersion": "7",
            "labels": changes.get("labels", {}),
            "annotations": changes.get("annotations", {}),
        },
        "spec": {"taints": taints, **changes.get("spec", {})},
        "status": {"addresses": changes.get("addresses", [])},
    }


def test_a_node_is_initialized() -> None:
    other = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    node = _node(taints=[other, {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}])
    assert is_uninitialized(node)
    plan = plan_initialization(node, FOUND)
    assert plan["spec"] == {"taints": [other], "providerID": "kubelab://lab/worker-1"}
    assert plan["metadata"]["resourceVersion"] == "7"
    assert plan["metadata"]["labels"] == {
        "beta.kubernetes.io/instance-type": "2cpu-2Gi",
        "node.kubernetes.io/instance-type": "2cpu-2Gi",
        "failure-domain.beta.kubernetes.io/zone": "lab-a",
        "topology.kubernetes.io/zone": "lab-a",
        "failure-domain.beta.kubernetes.io/region": "lab",
        "topology.kubernetes.io/region": "lab",
    }


def test_a_provider_id_that_is_there_stays() -> None:
    assert "providerID" not in plan_initialization(_node(spec={"providerID": "kubelab://lab/x"}), FOUND)["spec"]


def test_an_address_that_the_cloud_does_not_know_keeps_the_taint() -> None:
    node = _node(annotations={PROVIDED_IP: "10.0.0.99"})
    said = "provided node ip for node 'worker-1' is not valid: failed to get node address from cloud provider that"
    with pytest.raises(CloudProblem, match=said):
        plan_initialization(node, FOUND)


@pytest.mark.parametrize(
    ("annotation", "found", "wanted"),
    [
        pytest.param("", FOUND.addresses, SHOWN, id="as-the-cloud-says"),
        pytest.param("", FOUND.addresses[:1], [SHOWN[0], {"type": "Hostname", "address": "mine"}], id="own-hostname"),
        pytest.param(
            "10.0.0.22",
            (("InternalIP", "10.0.0.21"), ("InternalIP", "10.0.0.22"), ("ExternalIP", "1.2.3.4"), ("Hostname", "n")),
            [
                {"type": "InternalIP", "address": "10.0.0.22"},
                {"type": "ExternalIP", "address": "1.2.3.4"},
                {"type": "Hostname", "address": "n"},
            ],
            id="the-kubelets-own-is-the-only-one-of-its-kind",
        ),
    ],
)
def test_addresses(annotation: str, found: Any, wanted: list[Object]) -> None:
    node = _node(annotations={PROVIDED_IP: annotation}, addresses=[{"type": "Hostname", "address": "mine"}])
    assert plan_addresses(node, InstanceMetadata("", "", "", "", found)) == wanted


def test_addresses_that_are_shown_are_not_written() -> None:
    assert plan_addresses(_node(addresses=SHOWN), FOUND) is None


def test_old_labels_follow() -> None:
    labels = {
        "kubernetes.io/os": "linux",
        "beta.kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": "b",
        "failure-domain.beta.kubernetes.io/zone": "a",
        "topology.kubernetes.io/region": "r",
        "node.kubernetes.io/instance-type": "t",
    }
    wanted = {"failure-domain.beta.kubernetes.io/zone": "b", "failure-domain.beta.kubernetes.io/region": "r"}
    assert plan_labels(_node(labels=labels)) == wanted


def test_the_shutdown_taint_comes_and_goes_once() -> None:
    kept = {"key": "k", "effect": "NoSchedule"}
    off = [kept, {"key": SHUTDOWN, "effect": "NoSchedule"}]
    assert plan_shutdown(_node(taints=[kept]), True) == off
    assert plan_shutdown(_node(taints=off), True) is None
    assert plan_shutdown(_node(taints=off), False) == [kept]
    assert plan_shutdown(_node(taints=[kept]), False) is None
