"""KubeSchedulerConfiguration: what it may say, what it means for nodes, and how it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery.client.config import render_kubeconfig
from apimachinery.kit.config import ConfigError, Problems
from controlplane.scheduler.config import parse
from controlplane.scheduler.config_file import API_VERSION, KIND, FileConfig, LeaseAt, read_file
from controlplane.scheduler.configz import shown
from controlplane.scheduler.decision import decide
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import DEFAULT_FILTERS, DEFAULT_SCORES, Fit, Profile
from controlplane.scheduler.snapshot import snapshot_of
from tests.unit.controlplane.scheduler.files_for_scheduling import arguments, profile, read
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod


def test_a_file_that_says_nothing_is_the_default(tmp_path: Path) -> None:
    assert read(tmp_path) == FileConfig()
    assert FileConfig().profiles[0].filters == DEFAULT_FILTERS


def test_profiles_by_schedulerName(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        clientConnection={"kubeconfig": "/k"},
        leaderElection={"leaderElect": False},
        percentageOfNodesToScore=30,
        profiles=[{"schedulerName": "default-scheduler"}, {"schedulerName": "other"}],
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
            {
                "multiPoint": {
                    "disabled": [{"name": "*"}],
                    "enabled": [
                        {"name": "NodeResourcesFit", "weight": 4},
                        {"name": "SchedulingGates"},
                        {"name": "PrioritySort"},
                        {"name": "DefaultBinder"},
                    ],
                }
            },
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
            {"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]},
            'profiles[1].schedulerName: Duplicate value: "a"',
            id="twice",
        ),
        pytest.param(
            {"profiles": [{"schedulerName": "a"}, {}]}, "profiles[1].schedulerName: Required value", id="no-name"
        ),
        pytest.param(
            {"profiles": [{"pluginConfig": [{"name": "NodeAffinity"}, {"name": "NodeAffinity"}]}]},
            'profiles[0].pluginConfig[1]: Duplicate value: "NodeAffinity"',
            id="arguments-twice",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": f"http://{e}", "managedResources": [{"name": "a/b"}]} for e in "ef"]},
            'extenders[1].managedResources[0].name: Invalid value: "a/b": duplicate extender managed resource name',
            id="managed-twice",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "Nonsense"}]}}}]},
            'profiles[0].plugins.score.enabled[0].name: ScorePlugin "Nonsense" does not exist',
            id="no-such-plugin",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "NodePorts"}]}}}]},
            'profiles[0].plugins.score.enabled[0].name: plugin "NodePorts" does not extend ScorePlugin plugin',
            id="not-a-score",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"bind": {"disabled": [{"name": "*"}]}}}]},
            "profiles[0].plugins.bind: at least one bind plugin is needed for profile with scheduler name "
            '"default-scheduler"',
            id="nobody-binds",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"queueSort": {"disabled": [{"name": "PrioritySort"}]}}}]},
            "profiles[0].plugins.queueSort: only one queue sort plugin required for profile with scheduler name "
            '"default-scheduler", but got 0',
            id="no-order",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"reserve": {"disabled": [{"name": "*"}]}}}]},
            'profiles[0].plugins.reserve.disabled: plugin "VolumeBinding" cannot be disabled here while it is enabled '
            "at filter",
            id="half-a-plugin",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"filter": {"enabled": [{"name": "NodeName"}, {"name": "NodeName"}]}}}]},
            'profiles[0].plugins.filter.enabled[1].name: plugin "NodeName" already registered as "FilterPlugin"',
            id="enabled-twice",
        ),
        pytest.param(
            {"leaderElection": {"resourceLock": "endpoints"}},
            'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"',
            id="lock",
        ),
        pytest.param({"enableProfiling": "no"}, "enableProfiling: must be true or false", id="profiling"),
        pytest.param(
            {"parallelism": 0},
            "parallelism: Invalid value: 0: should be an integer value greater than zero",
            id="parallelism",
        ),
        pytest.param(
            {"podInitialBackoffSeconds": 0},
            "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
            id="initial-backoff",
        ),
        pytest.param(
            {"podInitialBackoffSeconds": 5, "podMaxBackoffSeconds": 4},
            "podMaxBackoffSeconds: Invalid value: 4: must be greater than or equal to PodInitialBackoffSeconds",
            id="max-backoff",
        ),
        pytest.param(
            {"podInitialBackoffSeconds": 11},
            "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds",
            id="usual-max-backoff",
        ),
        pytest.param(
            {"leaderElection": {"retryPeriod": "-2s"}},
            "leaderElection.retryPeriod: Invalid value: -2s: must be greater than zero",
            id="negative-lease",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": "http://e", "prioritizeVerb": "p"}]},
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
            id="extender-weight",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": "http://a", "bindVerb": "b"}, {"urlPrefix": "http://b", "bindVerb": "b"}]},
            'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
            id="two-binders",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": "http://e", "managedResources": [{"name": "cpu"}]}]},
            'extenders[0].managedResources[0].name: Invalid value: "cpu": is an invalid extended resource name',
            id="managed-resource",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": "http://e", "managedResources": [{"name": "requests.example.com/foo"}]}]},
            "extenders[0].managedResources[0].name: Invalid value: "
            '"requests.example.com/foo": is an invalid extended resource name',
            id="managed-resource-as-in-quotas",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": "http://e", "managedResources": [{"name": "/foo"}]}]},
            'extenders[0].managedResources[0].name: Invalid value: "/foo": prefix part must be non-empty',
            id="managed-resource-syntax",
        ),
        pytest.param(
            {"extenders": [{"urlPrefix": "e"}]},
            'extenders[0].urlPrefix: Invalid value: "e": must be an http or https URL',
            id="extender-url",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_path(tmp_path: Path, said: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, **said)
    assert problem in refused.value.problems


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    shape = [{"utilization": 101, "score": 11}]
    strategy = {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}, "kind": "x"}
    with pytest.raises(ConfigError) as refused:
        arguments(tmp_path, "NodeResourcesFit", scoringStrategy=strategy, ignored=1)
    assert len(refused.value.problems) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        (f"apiVersion: {API_VERSION}\nkind: {KIND}\nparallelism: 1\nparallelism: 2\n",
         'strict decoding error: yaml: unmarshal errors:\n  line 4: key "parallelism" already set in map'),
    ],
)  # fmt: skip
def test_faults_of_yaml_are_told_as_go_tells_them(tmp_path: Path, text: str, problem: str) -> None:
    (file := tmp_path / "scheduler.yaml").write_text(text)
    read_file(file, problems := Problems())
    assert list(problems) == [f"{file}: {problem}"]


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
    with pytest.raises(
        ConfigError, match=r"defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty"
    ):
        arguments(tmp_path, "PodTopologySpread", defaultConstraints=[constraint])


def test_the_rest_of_the_file(tmp_path: Path) -> None:
    managed = [{"name": "example.com/foo", "ignoredByScheduler": True}, {"name": "example.com/bar"}]
    extender = {
        "urlPrefix": "http://127.0.0.1:1/e/", "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 3,
        "bindVerb": "bind", "httpTimeout": "1500ms", "managedResources": managed, "ignorable": True,
    }  # fmt: skip
    found = read(
        tmp_path, podInitialBackoffSeconds=2, podMaxBackoffSeconds=30, parallelism=4, extenders=[extender],
        delayCacheUntilActive=True, enableProfiling=False, enableContentionProfiling=False,
        profiles=[{"percentageOfNodesToScore": 7}],
    )  # fmt: skip
    assert [found.backoffs.after(tries) for tries in (1, 2, 3, 9)] == [2, 4, 8, 30]
    (one,) = found.extenders
    assert (one.url, one.timeout, one.weight, one.ignorable) == ("http://127.0.0.1:1/e", 1.5, 3, True)
    assert (one.managed, one.ignored) == ({"example.com/foo", "example.com/bar"}, {"example.com/foo"})
    assert found.profiles[0].percentage == 7 and found.delay_cache
    # What an extender takes upon itself does not refuse a node any more; what it only wants to hear of does.
    framework, snapshot = make_framework(found.profiles[0]), snapshot_of([node("n")], [])
    for resource, fits in (("example.com/foo", True), ("example.com/bar", False)):
        wanted = pod("p")
        wanted["spec"]["containers"][0]["resources"]["requests"] = {resource: "1"}
        assert (decide(framework, PodInfo(wanted), snapshot).node is not None) == fits


def test_affinity_that_a_profile_adds_to_every_pod(tmp_path: Path) -> None:
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["batch"]}]}
    required = {"nodeSelectorTerms": [term]}
    added = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    framework = make_framework(arguments(tmp_path, "NodeAffinity", addedAffinity=added))
    nodes = [node("other"), node("batch", labels={"pool": "batch"})]
    found = decide(framework, PodInfo(pod("p")), snapshot_of(nodes, []))
    assert found.node == "batch"
    assert found.refusals["other"].reasons == ("node(s) didn't match scheduler-enforced node affinity",)


def test_preferences_of_running_pods_can_be_left_out(tmp_path: Path) -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}
    likes = [{"weight": 100, "podAffinityTerm": term}]
    affinity = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": likes}}
    nodes = [node("full"), node("liked")]
    running = [pod("q", on="liked", cpu="3", affinity=affinity)]
    for ignored, chosen_node in ((False, "liked"), (True, "full")):
        framework = make_framework(arguments(tmp_path, "InterPodAffinity", ignorePreferredTermsOfExistingPods=ignored))
        assert (
            decide(framework, PodInfo(pod("p", labels={"app": "a"})), snapshot_of(nodes, running)).node == chosen_node
        )


def test_leader_election_is_as_the_file_says_and_flags_win(tmp_path: Path) -> None:
    said = {"leaderElect": False, "leaseDuration": "6s", "renewDeadline": "4s", "resourceName": "mine"}
    assert read(tmp_path, leaderElection=said).leader_lease == (6.0, 4.0, 2.0)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        render_kubeconfig(server="https://127.0.0.1:1", ca_data=b"x", user="x", cert_data=b"x", key_data=b"x")
    )
    argv = [f"--kubeconfig={kubeconfig}", f"--config={tmp_path / 'scheduler.yaml'}"]
    found = parse([*argv, "--leader-elect-retry-period=1s"])
    assert (found.leader_elect, found.leader_lease) == (False, (6.0, 4.0, 1.0))
    assert found.lease == LeaseAt("kube-system", "mine")
    elsewhere = ["--leader-elect-resource-name=theirs", "--leader-elect-resource-namespace=lab"]
    assert parse([*argv, *elsewhere]).lease == LeaseAt("lab", "theirs")
    with pytest.raises(ConfigError, match="3 s > 4 s > 2 s > 0 does not hold"):
        parse([*argv, "--leader-elect-lease-duration=3s"])


def test_configz_shows_what_is_in_force_with_upstreams_names(tmp_path: Path) -> None:
    arguments(tmp_path, "PodTopologySpread", defaultingType="List", defaultConstraints=[
        {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
    ])  # fmt: skip
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        render_kubeconfig(server="https://127.0.0.1:1", ca_data=b"x", user="x", cert_data=b"x", key_data=b"x")
    )
    argv = [f"--kubeconfig={kubeconfig}", f"--config={tmp_path / 'scheduler.yaml'}"]
    found = shown(parse([*argv, "--leader-elect-retry-period=1s"]))["componentconfig"]
    assert found["apiVersion"] == API_VERSION and found["ClientConnection"] == {"Kubeconfig": str(kubeconfig)}
    assert found["LeaderElection"]["ResourceName"] == "kube-scheduler"
    assert found["LeaderElection"]["RetryPeriod"] == "1s" and found["PodMaxBackoffSeconds"] == 10
    (only,) = found["Profiles"]
    assert only["SchedulerName"] == "default-scheduler"
    assert only["Plugins"]["Score"]["Enabled"][0] == {"Name": "TaintToleration", "Weight": 3}
    said = {each["Name"]: each["Args"] for each in only["PluginConfig"]}
    assert said["PodTopologySpread"] == {
        "DefaultConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "DefaultingType": "List",
    }
    assert said["NodeResourcesFit"]["ScoringStrategy"]["Type"] == "LeastAllocated"
