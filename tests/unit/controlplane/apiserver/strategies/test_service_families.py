"""ipFamilies and ipFamilyPolicy as a cluster with one family or two fills them in, or refuses them."""

from typing import Any

import pytest

from controlplane.apiserver.strategies.service_families import settle_families

ONE, TWO = ["IPv4"], ["IPv4", "IPv6"]


def settled(served: list[str], before: dict[str, Any] | None = None, **spec: Any) -> tuple[Any, ...] | list[str]:
    problems = settle_families(spec, before, served)
    if problems:
        return [str(problem) for problem in problems]
    return spec["ipFamilyPolicy"], spec["ipFamilies"], spec.get("clusterIPs")


@pytest.mark.parametrize(("served", "spec", "expected"), [
    (ONE, {}, ("SingleStack", ["IPv4"], None)),
    (ONE, {"ipFamilyPolicy": "PreferDualStack"}, ("PreferDualStack", ["IPv4"], None)),
    (ONE, {"clusterIPs": ["None"], "ipFamilyPolicy": "RequireDualStack"}, ("RequireDualStack", TWO, ["None"])),
    (ONE, {"clusterIPs": ["None"]}, ("RequireDualStack", TWO, ["None"])),
    (TWO, {"clusterIPs": ["None"], "selector": {"a": "b"}}, ("SingleStack", ["IPv4"], ["None"])),
    (TWO, {"clusterIPs": ["fd00::1"]}, ("SingleStack", ["IPv6"], ["fd00::1"])),
    (TWO, {"clusterIPs": ["fd00::1"], "ipFamilyPolicy": "PreferDualStack"},
     ("PreferDualStack", ["IPv6", "IPv4"], ["fd00::1"])),
])  # fmt: skip
def test_new(served: list[str], spec: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert settled(served, **spec) == expected


@pytest.mark.parametrize(("served", "spec", "words"), [
    (ONE, {"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services"),
    (ONE, {"ipFamilies": ["IPv6"]}, "not configured on this cluster"),
    (ONE, {"clusterIPs": ["fd00::1"]}, "IPv6 is not configured on this cluster"),
    (TWO, {"ipFamilies": TWO, "ipFamilyPolicy": "SingleStack"},
     "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"),
    (TWO, {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "SingleStack"},
     "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"),
    (TWO, {"ipFamilies": TWO}, "when multiple IP families are specified"),
])  # fmt: skip
def test_refused(served: list[str], spec: dict[str, Any], words: str) -> None:
    found = settled(served, **spec)
    assert any(words in one for one in found)


def test_single_stack_lets_go_of_the_second() -> None:
    before = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": TWO, "clusterIPs": ["10.0.0.1", "fd00::1"]}
    spec = {**before, "ipFamilyPolicy": "SingleStack"}
    assert settled(TWO, before, **spec) == ("SingleStack", ["IPv4"], ["10.0.0.1"])
    kept = {**before, "clusterIPs": ["10.0.0.1"]}
    assert any("to release the secondary cluster IP" in one for one in settled(TWO, before, **kept))


def test_a_service_does_not_follow_a_cluster_that_becomes_dual_stack() -> None:
    before = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"], "clusterIPs": ["10.0.0.1"]}
    assert settled(TWO, before, **before) == ("PreferDualStack", ["IPv4"], ["10.0.0.1"])
    require = {**before, "ipFamilyPolicy": "RequireDualStack"}
    assert settled(TWO, before, **require) == ("RequireDualStack", TWO, ["10.0.0.1"])
