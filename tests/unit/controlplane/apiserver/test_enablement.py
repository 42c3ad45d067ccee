"""--runtime-config."""

from __future__ import annotations

import pytest

from apimachinery.api.catalogue import CATALOGUE
from controlplane.apiserver.discovery.enablement import enabled, refusals
from controlplane.apiserver.flags import Flags


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"api/all": "false"}, "invalid key with only api/all=false"),
        ({"api/all": "yes"}, "invalid value api/all=yes"),
        ({"api/beta": ""}, "invalid value api/beta="),
        ({"v1": "false"}, "runtime-config invalid key v1"),
        ({"apps/v1/deployments/status": "false"}, "runtime-config invalid key apps/v1/deployments/status"),
        ({"example.com/v1": "false", "api/legacy": "false"}, "unknown api groups example.com,api"),
        ({"apps/v2": "true"}, "group version apps/v2 that has not been registered"),
        ({"/v2": "true"}, "group version v2 that has not been registered"),
        (
            {"apps/v1": "yes"},
            'invalid value of apps/v1: yes, err: strconv.ParseBool: parsing "yes": invalid syntax',
        ),
        (
            {"apps/v1/Deployments": "false"},
            "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, "
            'not "Deployments"',
        ),
        (
            {"resource.k8s.io/v1beta1": "true"},
            "resource.k8s.io/v1beta1 cannot be turned on: only what 1.32 serves by default is there",
        ),
    ],
)
def test_what_is_refused(asked: dict[str, str], told: str) -> None:
    assert refusals(CATALOGUE, asked) == [told]


def test_what_is_off_already_may_be_turned_off() -> None:
    asked = {"api/all": "true", "api/beta": "false", "policy/v1beta1": "false", "extensions/v1beta1/ingresses": "0"}
    assert refusals(CATALOGUE, asked) == []
    assert [*enabled(CATALOGUE, asked)] == [*CATALOGUE]
    assert enabled(CATALOGUE, {}) is CATALOGUE


def test_the_narrower_counts() -> None:
    def versions(**asked: str) -> dict[str, tuple[str, ...]]:
        return enabled(CATALOGUE, {key.replace("_", "/"): value for key, value in asked.items()}).versions()

    assert versions(api_all="false", _v1="true", apps_v1="") == {"": ("v1",), "apps": ("v1",)}
    assert versions(api_all="true", api_ga="false", autoscaling_v1="t") == {"autoscaling": ("v1",)}
    assert versions(autoscaling_v2="false")["autoscaling"] == ("v1",)
    assert "batch" not in versions(batch_v1="false")
    left = enabled(CATALOGUE, {"api/all": "false", "apps/v1/deployments": "true"})
    assert [each.plural for each in left] == ["deployments"]
    assert left.find("apps", "v1", "deployments") is CATALOGUE.find("apps", "v1", "deployments")


def test_the_flag_may_be_repeated() -> None:
    flags = Flags(["--runtime-config=api/all=false,/v1=true,", "--runtime-config", "batch/v1, apps/v1 = false ,/v1=1"])
    assert flags.pairs("runtime-config") == {"api/all": "false", "/v1": "1", "batch/v1": "", "apps/v1": "false"}
