"""Services of a dual-stack cluster: addresses of one family or both, as KEP-563 says, and a slice for each family."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.process import Answer, ControlPlane, wait_until

SERVICES, PODS = "/api/v1/namespaces/default/services", "/api/v1/namespaces/default/pods"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
NETWORKS = {"IPv4": ipaddress.ip_network("10.201.0.0/16"), "IPv6": ipaddress.ip_network("fd00:201::/112")}
MERGE = {"Content-Type": "application/merge-patch+json"}


class DualStack(ControlPlane):
    def argv(self) -> list[str]:
        networks = ",".join(map(str, NETWORKS.values()))
        return [*super().argv(), "--cluster-cidr=10.200.0.0/16,fd00:200::/48", f"--service-cidr={networks}"]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DualStack]:
    found = DualStack(tmp_path_factory.mktemp("families") / "data", "sqlite")
    found.start()
    yield found
    assert found.stop() == 0, found.log


def create(plane: ControlPlane, name: str, **spec: Any) -> Answer:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    return plane.request("POST", SERVICES, {**body, "spec": {"ports": [{"port": 80}], **spec}})


def patch(plane: ControlPlane, name: str, **spec: Any) -> Answer:
    return plane.request("PATCH", f"{SERVICES}/{name}", {"spec": spec}, headers=MERGE)


def families(answer: Answer) -> tuple[str, list[str]]:
    """The policy, and the families of the addresses, which are those that the Service tells."""
    assert answer.code in (200, 201), answer.body
    spec = answer.json["spec"]
    found = [f"IPv{ipaddress.ip_address(address).version}" for address in spec["clusterIPs"]]
    assert found == spec["ipFamilies"]
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    assert all(ipaddress.ip_address(a) in NETWORKS[f] for a, f in zip(spec["clusterIPs"], found, strict=True))
    return spec["ipFamilyPolicy"], found


@pytest.mark.parametrize(("spec", "expected"), [
    ({}, ("SingleStack", ["IPv4"])),
    ({"ipFamilies": ["IPv6"]}, ("SingleStack", ["IPv6"])),
    ({"clusterIP": "fd00:201::77"}, ("SingleStack", ["IPv6"])),
    ({"ipFamilyPolicy": "PreferDualStack"}, ("PreferDualStack", ["IPv4", "IPv6"])),
    ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ("RequireDualStack", ["IPv6", "IPv4"])),
    ({"ipFamilyPolicy": "PreferDualStack", "clusterIP": "10.201.7.7", "clusterIPs": ["10.201.7.7", "fd00:201::78"]},
     ("PreferDualStack", ["IPv4", "IPv6"])),
])  # fmt: skip
def test_new_services(plane: DualStack, spec: dict[str, Any], expected: tuple[str, list[str]]) -> None:
    made = create(plane, "made", **spec)
    assert families(made) == expected
    for asked in (spec.get("clusterIPs"), [spec["clusterIP"]] if "clusterIP" in spec else None):
        assert asked is None or made.json["spec"]["clusterIPs"][: len(asked)] == asked
    assert plane.request("DELETE", f"{SERVICES}/made").code == 200
    again = create(plane, "made", **spec)  # its addresses were given back
    assert families(again) == expected
    assert plane.request("DELETE", f"{SERVICES}/made").code == 200


def test_a_second_family_comes_and_goes(plane: DualStack) -> None:
    only = create(plane, "web").json["spec"]["clusterIP"]
    both = patch(plane, "web", ipFamilyPolicy="PreferDualStack")
    assert families(both) == ("PreferDualStack", ["IPv4", "IPv6"])
    assert both.json["spec"]["clusterIP"] == only
    second = both.json["spec"]["clusterIPs"][1]
    taken = create(plane, "other", clusterIP=second)
    assert taken.code == 422 and "provided IP is already allocated" in taken.json["message"]

    refused = patch(plane, "web", ipFamilies=["IPv4"], clusterIPs=[only])
    assert refused.code == 422 and "SingleStack" in refused.json["message"]
    assert families(patch(plane, "web", ipFamilyPolicy="SingleStack")) == ("SingleStack", ["IPv4"])
    assert create(plane, "other", clusterIP=second).json["spec"]["clusterIPs"] == [second]


def test_headless_without_a_selector_takes_every_family(plane: DualStack) -> None:
    spec = create(plane, "outside", clusterIP="None", ipFamilyPolicy="PreferDualStack").json["spec"]
    assert (spec["clusterIPs"], spec["ipFamilies"]) == (["None"], ["IPv4", "IPv6"])
    spec = create(plane, "unsaid", clusterIP="None").json["spec"]
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])


@pytest.mark.parametrize(("spec", "words"), [
    ({"clusterIP": "none"},
     'spec.clusterIPs[0]: Invalid value: "none": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    ({"clusterIP": "10.201.7.x"},
     'spec.clusterIPs[0]: Invalid value: "10.201.7.x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    ({"clusterIPs": ["10.201.7.9"]},
     'spec.clusterIPs: Invalid value: []string{"10.201.7.9"}: must be empty when `clusterIP` is not specified'),
    ({"clusterIP": "10.201.7.9", "clusterIPs": ["10.201.7.8"]},
     'spec.clusterIPs: Invalid value: []string{"10.201.7.8"}: first value must match `clusterIP`'),
    ({"ipFamilyPolicy": "DualStack"}, 'spec.ipFamilyPolicy: Unsupported value: "DualStack"'),
    ({"ipFamilies": ["IPv4", "IPv4"]}, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
])  # fmt: skip
def test_what_is_no_address_is_not_looked_for_in_a_range(plane: DualStack, spec: dict[str, Any], words: str) -> None:
    refused = create(plane, "bad", **spec)
    assert refused.code == 422
    assert refused.json["message"].startswith(f'Service "bad" is invalid: {words}'), refused.json["message"]


def test_two_families_need_a_policy(plane: DualStack) -> None:
    refused = create(plane, "two", ipFamilies=["IPv6", "IPv4"])
    assert refused.code == 422
    words = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"
    assert f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {words}' in refused.json["message"]


def test_a_slice_for_each_family(plane: DualStack) -> None:
    assert create(plane, "pair", selector={"app": "pair"}, ipFamilyPolicy="RequireDualStack").code == 201
    spec = {"nodeName": "nowhere", "containers": [{"name": "c", "image": "i"}]}
    meta = {"name": "pair", "labels": {"app": "pair"}}
    wait_until("the default account", lambda: (
        plane.request("GET", "/api/v1/namespaces/default/serviceaccounts/default").code == 200))  # fmt: skip

    def kinds() -> list[str]:
        items = plane.request("GET", f"{SLICES}?labelSelector=kubernetes.io/service-name=pair").json["items"]
        return sorted(item["addressType"] for item in items)

    wait_until("a slice for each family, without endpoints", lambda: kinds() == ["IPv4", "IPv6"])
    assert plane.request("POST", "/api/v1/nodes", {"metadata": {"name": "nowhere"}}).code == 201
    assert plane.request("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}).code == 201
    ips = ["10.200.0.9", "fd00:200::9"]
    status = {
        "phase": "Running",
        "podIP": ips[0],
        "podIPs": [{"ip": ip} for ip in ips],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    assert plane.request("PATCH", f"{PODS}/pair/status", {"status": status}, headers=MERGE).code == 200

    def addresses() -> dict[str, list[str]]:
        items = plane.request("GET", f"{SLICES}?labelSelector=kubernetes.io/service-name=pair").json["items"]
        return {item["addressType"]: [a for one in item["endpoints"] or () for a in one["addresses"]] for item in items}

    wait_until("both addresses", lambda: addresses() == {"IPv4": ips[:1], "IPv6": ips[1:]})
