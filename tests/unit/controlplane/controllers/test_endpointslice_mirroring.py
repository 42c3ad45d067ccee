"""Which slices mirror Endpoints."""

from __future__ import annotations

from typing import Any

from controlplane.controllers.endpointslice_mirroring import is_mirrored, plan_mirrors

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
    plan = plan_mirrors(endpoints(subset("10.0.0.1", port=1)), [stored])
    assert (len(plan.create), plan.delete) == (1, [stored])
    assert plan_mirrors(None, [stored]).delete == [stored]


def test_no_more_than_a_thousand_of_a_subset() -> None:
    (made,) = plan_mirrors(endpoints(subset(*(f"10.0.{n // 250}.{n % 250}" for n in range(1200)))), []).create
    assert len(made["endpoints"]) == 1000


def test_who_is_not_mirrored() -> None:
    assert is_mirrored(endpoints())
    assert not is_mirrored(endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
    assert not is_mirrored(endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}))
