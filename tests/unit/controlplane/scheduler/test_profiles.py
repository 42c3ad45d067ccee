"""KubeSchedulerConfiguration: what it may say, what it means for nodes, and how it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.kit.config import ConfigError, Problems
from controlplane.scheduler.config_file import API_VERSION, KIND, FileConfig, read_file
from controlplane.scheduler.decision import decide
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import DEFAULT_FILTERS, DEFAULT_SCORES, Fit, Profile
from controlplane.scheduler.snapshot import snapshot_of
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod


def read(tmp_path: Path, **document: Any) -> FileConfig:
    path, problems = tmp_path / "scheduler.yaml", Problems()
    path.write_text(yaml.safe_dump({"apiVersion": API_VERSION, "kind": KIND, **document}))
    found = read_file(path, problems)
    problems.raise_if_any()
    return found


def profile(tmp_path: Path, **said: Any) -> Profile:
    return read(tmp_path, profiles=[said]).profiles[0]


def arguments(tmp_path: Path, name: str, **args: Any) -> Profile:
    return profile(tmp_path, pluginConfig=[{"name": name, "args": args}])


def test_a_file_that_says_nothing_is_the_default(tmp_path: Path) -> None:
    assert read(tmp_path) == FileConfig()
    assert FileConfig().profiles[0].filters == DEFAULT_FILTERS


def test_profiles_by_schedulerName(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        clientConnection={"kubeconfig": "/k"},
        leaderElection={"leaderElect": False},
        percentageOfNodesToScore=30,
        profiles=[{}, {"schedulerName": "other"}],
    )
    assert (found.kubeconfig, found.leader_elect, found.percentage_of_nodes_to_score) == ("/k", False, 30)
    assert [each.scheduler_name for each in found.profiles] == ["default-scheduler", "other"]


@pytest.mark.parametrize(
    ("plugins", "filters", "scores"),
    [
        pytest.param(
            {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 7}]}},
            DEFAULT_FILTERS,
            (("ImageLocality", 7),),
            id="one-score-only",
        ),
        pytest.param(
            {"filter": {"disabled": [{"name": "TaintToleration"}]}},
            tuple(name for name in DEFAULT_FILTERS if name != "TaintToleration"),
            DEFAULT_SCORES,
            id="a-filter-off",
        ),
        pytest.param(
            {"multiPoint": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 4}]}},
            ("NodeResourcesFit",),
            (("NodeResourcesFit", 4),),
            id="everywhere",
        ),
        pytest.param(
            {"score": {"disabled": [{"name": "NodeAffinity"}], "enabled": [{"name": "NodeAffinity"}]}},
            DEFAULT_FILTERS,
            (*(each for each in DEFAULT_SCORES if each[0] != "NodeAffinity"), ("NodeAffinity", 2)),
            id="the-default-weight",
        ),
    ],
)
def test_plugins_are_disabled_and_enabled(tmp_path: Path, plugins: Any, filters: Any, scores: Any) -> None:
    found = profile(tmp_path, plugins=plugins)
    assert (found.filters, found.scores) == (filters, scores)


def test_preemption_can_be_turned_off(tmp_path: Path) -> None:
    found = profile(tmp_path, plugins={"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}})
    assert not make_framework(found).preempts
    assert found.filters == DEFAULT_FILTERS


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        pytest.param({"profile": []}, "profile: not supported here, or unknown", id="unknown-field"),
        pytest.param(
            {"percentageOfNodesToScore": 101},
            "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
            id="percentage",
        ),
        pytest.param(
            {"profiles": [{}, {}]}, 'profiles[1].schedulerName: Duplicate value: "default-scheduler"', id="twice"
        ),
        pytest.param(
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "Nonsense"}]}}}]},
            'profiles[0].plugins.score.enabled[0].name: plugin "Nonsense" does not exist',
            id="no-such-plugin",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "NodePorts"}]}}}]},
            'profiles[0].plugins.score.enabled[0].name: "NodePorts" does not score',
            id="not-a-score",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"bind": {"disabled": [{"name": "*"}]}}}]},
            "profiles[0].plugins.bind: cannot be chosen here",
            id="a-point-without-choice",
        ),
        pytest.param({"extenders": [{}]}, "extenders: not supported here, or unknown", id="extenders"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(tmp_path: Path, said: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, **said)
    assert problem in refused.value.problems


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    strategy = {"type": "Least", "requestedToCapacityRatio": {"shape": [{"utilization": 101, "score": 11}]}}
    with pytest.raises(ConfigError) as refused:
        arguments(tmp_path, "NodeResourcesFit", scoringStrategy=strategy, ignored=1)
    assert len(refused.value.problems) == 4


def test_no_file_and_no_configuration(tmp_path: Path) -> None:
    problems = Problems()
    read_file(tmp_path / "none", problems)
    (tmp_path / "other").write_text("kind: Pod")
    read_file(tmp_path / "other", problems)
    assert [each.rpartition(": ")[2] for each in problems] == [
        "No such file or directory", f"not a {KIND} of {API_VERSION}"
    ]  # fmt: skip


def chosen(fit: Fit, **used: str) -> str | None:
    """Where a pod goes among nodes of 4 CPUs, by how much of each is used."""
    nodes = [node(name, memory="64Gi") for name in used]
    running = [pod(f"on-{name}", cpu=cpu, on=name) for name, cpu in used.items()]
    framework = make_framework(Profile(scores=(("NodeResourcesFit", 1),), fit=fit))
    return decide(framework, PodInfo(pod("p", cpu="500m")), snapshot_of(nodes, running)).node


def test_strategies_choose_the_emptiest_the_fullest_and_by_a_shape(tmp_path: Path) -> None:
    weights = [{"name": "cpu", "weight": 1}]

    def fit(**strategy: Any) -> Fit:
        said = {"resources": weights, **strategy}
        return arguments(tmp_path, "NodeResourcesFit", scoringStrategy=said).fit

    used = {"empty": "0", "half": "1500m", "full": "3500m"}
    shape = [{"utilization": 0, "score": 0}, {"utilization": 50, "score": 10}, {"utilization": 100, "score": 0}]
    assert chosen(fit(), **used) == "empty"
    assert chosen(fit(type="MostAllocated"), **used) == "full"
    ratio = fit(type="RequestedToCapacityRatio", requestedToCapacityRatio={"shape": shape})
    assert chosen(ratio, **used) == "half"


def test_default_constraints_of_a_profile_also_filter(tmp_path: Path) -> None:
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    found = arguments(tmp_path, "PodTopologySpread", defaultingType="List", defaultConstraints=[constraint])
    assert found.spread is not None and found.spread[0].hard
    with pytest.raises(ConfigError, match="cannot be specified"):
        arguments(tmp_path, "PodTopologySpread", defaultConstraints=[constraint])
