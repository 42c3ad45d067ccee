"""What pluginConfig may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.config import ConfigError
from tests.unit.controlplane.scheduler.files_for_scheduling import arguments

RATIO = {"shape": [{"utilization": 5, "score": 1}, {"utilization": 5, "score": 2}]}
ZONED = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
ARGUMENTS = [
    pytest.param(
        "DefaultPreemption",
        {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0},
        "args.minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as "
        "minCandidateNodesPercentage",
        id="no-candidates",
    ),
    pytest.param(
        "DefaultPreemption",
        {"minCandidateNodesPercentage": 101},
        "args.minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]",
        id="candidates",
    ),
    pytest.param(
        "InterPodAffinity",
        {"hardPodAffinityWeight": 101},
        "args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        id="hard-weight",
    ),
    pytest.param(
        "VolumeBinding",
        {"bindTimeoutSeconds": -1},
        "args.bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value",
        id="bind-timeout",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"ignoredResourceGroups": ["example.com/foo"]},
        "args.ignoredResourceGroups[0]: Invalid value: \"example.com/foo\": resource group name can't contain '/'",
        id="ignored-group",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"ignoredResources": ["/foo"]},
        'args.ignoredResources[0]: Invalid value: "/foo": prefix part must be non-empty',
        id="ignored-resource",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"ignoredResourceGroups": ["a/b/c"]},
        'args.ignoredResourceGroups[0]: Invalid value: "a/b/c": a qualified name must consist of alphanumeric '
        "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
        "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an "
        "optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        id="ignored-group-syntax",
    ),
    pytest.param(
        "PodTopologySpread",
        {"defaultingType": "List", "defaultConstraints": [{**ZONED, "topologyKey": "/zone"}]},
        'args.defaultConstraints[0].topologyKey: Invalid value: "/zone": prefix part must be non-empty',
        id="topology-key",
    ),
    pytest.param(
        "NodeAffinity",
        {"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
        "args.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: "
        "must have at least one node selector term",
        id="added-affinity",
    ),
    pytest.param(
        "NodeResourcesBalancedAllocation",
        {"resources": [{"name": "cpu", "weight": 2}]},
        "args.resources[0].weight: Invalid value: 2: must be 1",
        id="balanced-weight",
    ),
    pytest.param(
        "NodeResourcesBalancedAllocation",
        {"resources": [{"name": "cpu"}, {"name": "cpu", "weight": 0}]},
        'args.resources[1].name: Duplicate value: "cpu"',
        id="balanced-twice",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"scoringStrategy": {"resources": [{"name": "cpu", "weight": 101}]}},
        "args.scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range "
        "(0, 100]",
        id="fit-weight",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"scoringStrategy": {"type": "RequestedToCapacityRatio"}},
        "args.scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is "
        "RequestedToCapacityRatio",
        id="no-ratio",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"scoringStrategy": {"requestedToCapacityRatio": RATIO}},
        "args.scoringStrategy.requestedToCapacityRatio: Forbidden: must be nil when type is not "
        "RequestedToCapacityRatio",
        id="ratio",
    ),
    pytest.param(
        "NodeResourcesFit",
        {"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": RATIO}},
        "args.scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 5: values must be sorted "
        "in increasing order",
        id="shape",
    ),
    pytest.param(
        "PodTopologySpread",
        {"defaultingType": "List", "defaultConstraints": [{**ZONED, "maxSkew": 0}]},
        "args.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
        id="skew",
    ),
    pytest.param(
        "PodTopologySpread",
        {"defaultingType": "List", "defaultConstraints": [ZONED, {**ZONED, "maxSkew": 2}]},
        'args.defaultConstraints[1]: Duplicate value: "{zone, ScheduleAnyway}"',
        id="constraint-twice",
    ),
    pytest.param("NodeName", {}, 'name: "NodeName" takes no arguments here', id="no-arguments"),
]


@pytest.mark.parametrize(("name", "args", "problem"), ARGUMENTS)
def test_arguments_that_are_refused(tmp_path: Path, name: str, args: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        arguments(tmp_path, name, **args)
    told = f"profiles[0].pluginConfig[0].{problem}"
    if name == "NodeResourcesFit":
        making = f'creating profile for scheduler name default-scheduler: initializing plugin "{name}"'
        told = f"initializing profiles: {making}: {problem.removeprefix('args.')}"
    assert told in refused.value.problems
