"""Which slices mirror Endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.controllers.endpointslice_mirroring_plan import is_mirrored, plan_mirrors
from controlplane.controllers.endpointslice_plan import SlicePlan

Object = dict[str, Any]


def endpoints(*subsets: Object, **metadata: Any) -> Object:
    return {"metadata": {"name": "db", "namespace": "shop", "uid": "u", **metadata}, "subsets": list(subsets)}


def subset(*ips: str, unready: tuple[str, ...] = (), port: int = 5432) -> Object:
    found: Object = {"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": port, "protocol": "TCP"}]}
    return {**found, "notReadyAddresses": [{"ip": ip} for ip in unready]}


def test_a_slice_for_each_family_and_set_of_ports() -> None:
    plan = plan_mirrors(
        endpoints(subset("10.0.0.1", "fd00::1", unready=("10.0.0.2",)), subset("10.0.0.3", port=80)), []
    )
    told = [
        (each["addressType"], each["ports"][0]["port"], [(e["addresses"], e["conditions"]) for e in each["endpoints"]])
        for each in plan.create
    ]
    assert told == [
        ("IPv4", 5432, [(["10.0.0.1"], {"ready": True}), (["10.0.0.2"], {"ready": False})]),
        ("IPv6", 5432, [(["fd00::1"], {"ready": True})]),
        ("IPv4", 80, [(["10.0.0.3"], {"ready": True})]),
    ]


def test_labels_and_owner() -> None:
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "shop"}
    (made,) = plan_mirrors(endpoints(subset("10.0.0.1"), labels={"app": "db"}, annotations=notes), []).create
    assert made["metadata"]["labels"] == {
        "app": "db",
        "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert made["metadata"]["annotations"] == {"team": "shop"}
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Endpoints", "db", True)


def test_what_is_right_is_left_alone_what_changed_is_changed_and_the_rest_goes() -> None:
    (made,) = plan_mirrors(endpoints(subset("10.0.0.1")), []).create
    stored = {**made, "metadata": {**made["metadata"], "name": "db-x", "uid": "s", "resourceVersion": "7"}}
    plan = plan_mirrors(endpoints(subset("10.0.0.1")), [stored])
    assert (plan.create, plan.update, plan.delete) == ([], [], [])
    (changed,) = plan_mirrors(endpoints(subset("10.0.0.9")), [stored]).update
    assert (changed["metadata"]["name"], changed["metadata"]["resourceVersion"]) == ("db-x", "7")
    assert changed["endpoints"] == [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}]
    assert plan_mirrors(None, [stored]).delete == [stored]


def test_a_slice_that_is_too_many_becomes_one_that_is_missing() -> None:
    """Of the same family: that of a slice never changes."""
    (made,) = plan_mirrors(endpoints(subset("10.0.0.1")), []).create
    stored = {**made, "metadata": {**made["metadata"], "name": "db-x", "uid": "s", "resourceVersion": "7"}}
    plan = plan_mirrors(endpoints(subset("10.0.0.1", port=1)), [stored])
    assert (plan.create, plan.delete) == ([], [])
    (changed,) = plan.update
    assert (changed["metadata"]["name"], changed["ports"][0]["port"]) == ("db-x", 1)
    plan = plan_mirrors(endpoints(subset("fd00::1")), [stored])
    assert ([each["addressType"] for each in plan.create], plan.update, plan.delete) == (["IPv6"], [], [stored])


def test_endpoints_that_go_get_no_new_slices() -> None:
    plan = plan_mirrors(endpoints(subset("10.0.0.1"), deletionTimestamp="2025-06-01T12:00:00Z"), [])
    assert plan == SlicePlan()


@pytest.mark.parametrize(
    ("given", "addresses", "event"),
    [
        pytest.param(
            [subset(*(f"10.0.{n // 250}.{n % 250}" for n in range(1200)))], 1000,
            ("TooManyAddressesToMirror", "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints "
             "subset. 200 addresses were skipped"), id="of one subset"),
        pytest.param(
            [subset(*map("10.0.0.{}".format, range(250)), unready=tuple(f"fd00::{n}" for n in range(850)))], 1000,
            ("TooManyAddressesToMirror", "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints "
             "subset. 100 addresses were skipped"), id="of both families"),
        pytest.param(
            [subset(*(f"10.{k}.{n // 250}.{n % 250}" for n in range(700))) for k in range(2)], 1000, None,
            id="two subsets with the same ports have one slice"),
        pytest.param([subset("10.0.0.1", "10.0.0.1"), subset("10.0.0.1")], 1, None, id="the same again"),
        pytest.param(
            [subset("10.0.0.1", "10.0.0", "somewhere")], 1,
            ("InvalidIPAddress", "Skipped 2 invalid IP addresses when mirroring to EndpointSlices"), id="no addresses"),
    ],
)  # fmt: skip
def test_how_many_are_mirrored(given: list[Object], addresses: int, event: tuple[str, str] | None) -> None:
    plan = plan_mirrors(endpoints(*given), [])
    assert sum(len(each["endpoints"]) for each in plan.create) == addresses
    assert plan.events == ([("Warning", *event)] if event else [])


def test_addresses_are_written_as_slices_write_them() -> None:
    plan = plan_mirrors(endpoints(subset("FD00:0::1", "::ffff:10.0.0.7")), [])
    assert [(each["addressType"], each["endpoints"][0]["addresses"]) for each in plan.create] == [
        ("IPv6", ["fd00::1"]),
        ("IPv4", ["10.0.0.7"]),
    ]


def test_who_is_not_mirrored() -> None:
    assert is_mirrored(endpoints())
    assert not is_mirrored(endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
    assert not is_mirrored(endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}))
