"""KubeSchedulerConfiguration: what it may say, what it means for nodes, and how it is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.client.config import render_kubeconfig
from apimachinery.kit.config import ConfigError, Problems
from controlplane.scheduler.config import parse
from controlplane.scheduler.config_file import API_VERSION, KIND, FileConfig, LeaseAt, read_file
from controlplane.scheduler.configz import shown
from controlplane.scheduler.decision import decide
from controlplane.scheduler.main import main
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import DEFAULT_FILTERS, DEFAULT_SCORES, Fit, Profile
from controlplane.scheduler.snapshot import snapshot_of
from tests.unit.controlplane.scheduler.files_for_scheduling import arguments, profile, read
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod


def a_kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(
        render_kubeconfig(server="https://127.0.0.1:1", ca_data=b"x", user="x", cert_data=b"x", key_data=b"x")
    )
    return path


PROFILE = "initializing profiles: creating profile for scheduler name default-scheduler"


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
            (*(each for each in DEFAULT_SCORES if each[0] != "NodeAffinity"), ("NodeAffinity", 1)),
            id="no-weight",
        ),
        pytest.param(
            {
                "multiPoint": {"enabled": [{"name": "TaintToleration"}]},
                "score": {"disabled": [{"name": "NodeResourcesLeastAllocated"}]},
            },
            DEFAULT_FILTERS,
            tuple((name, 1 if name == "TaintToleration" else weight) for name, weight in DEFAULT_SCORES),
            id="said-again-without-weight-and-none-of-a-name",
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
        pytest.param(
            {"profile": [], "profiles": [{"plugins": {"score": {"enable": []}}}], "percentageOfNodesToScore": 101},
            'strict decoding error: unknown field "profile", unknown field "profiles[0].plugins.score.enable"',
            id="unknown-fields",
        ),
        pytest.param(
            {"profiles": [{"pluginConfig": [{"name": "InterPodAffinity", "args": {"hardWeight": 1}}]}]},
            "strict decoding error: decoding .profiles[0].pluginConfig[0]: strict decoding error: decoding args for "
            'plugin InterPodAffinity: strict decoding error: unknown field "hardWeight"',
            id="unknown-argument",
        ),
        pytest.param(
            {"profiles": [{"pluginConfig": [{"name": "NodeAffinity", "args": {"kind": "InterPodAffinityArgs"}}]}]},
            "decoding .profiles[0].pluginConfig[0]: args for plugin NodeAffinity were not of type "
            "NodeAffinityArgs.kubescheduler.config.k8s.io, got InterPodAffinityArgs.kubescheduler.config.k8s.io",
            id="arguments-of-another-plugin",
        ),
        pytest.param(
            {"profiles": [{"pluginConfig": [{"name": "VolumeBinding", "args": {"bindTimeoutSeconds": "1m"}}]}]},
            "decoding .profiles[0].pluginConfig[0]: decoding args for plugin VolumeBinding: json: cannot unmarshal "
            "string into Go struct field VolumeBindingArgs.bindTimeoutSeconds of type int64",
            id="argument-of-another-type",
        ),
        pytest.param(
            {"profiles": {"schedulerName": "a"}},
            "json: cannot unmarshal object into Go struct field KubeSchedulerConfiguration.profiles of type "
            "[]v1.KubeSchedulerProfile",
            id="no-list",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "ImageLocality", "weight": "5"}]}}}]},
            "json: cannot unmarshal string into Go struct field Plugin.profiles.plugins.score.enabled.weight of type "
            "int32",
            id="deep-type",
        ),
        pytest.param(
            {"leaderElection": {"leaseDuration": 15}},
            "json: cannot unmarshal number into Go value of type string",
            id="no-duration",
        ),
        pytest.param({"leaderElection": {"leaseDuration": "15"}}, 'time: missing unit in duration "15"', id="no-unit"),
        pytest.param(
            {"clientConnection": {"burst": -1}},
            "clientConnection.burst: Invalid value: -1: must be non-negative",
            id="burst",
        ),
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
            f'{PROFILE}: ScorePlugin "Nonsense" does not exist',
            id="no-such-plugin",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "NodePorts"}]}}}]},
            f'{PROFILE}: plugin "NodePorts" does not extend ScorePlugin plugin',
            id="not-a-score",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"bind": {"disabled": [{"name": "*"}]}}}]},
            f'{PROFILE}: at least one bind plugin is needed for profile with scheduler name "default-scheduler"',
            id="nobody-binds",
        ),
        pytest.param(
            {"profiles": [{"plugins": {"queueSort": {"disabled": [{"name": "PrioritySort"}]}}}]},
            f"{PROFILE}: only one queue sort plugin required for profile with scheduler name "
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
            f'{PROFILE}: plugin "NodeName" already registered as "FilterPlugin"',
            id="enabled-twice",
        ),
        pytest.param(
            {"leaderElection": {"resourceLock": "endpoints"}},
            'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"',
            id="lock",
        ),
        pytest.param(
            {"enableProfiling": "no"},
            "json: cannot unmarshal string into Go struct field KubeSchedulerConfiguration.enableProfiling of type "
            "bool",
            id="profiling",
        ),
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
    strategy = {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}}
    with pytest.raises(ConfigError) as refused:
        arguments(tmp_path, "NodeResourcesFit", scoringStrategy=strategy, ignoredResources=["/a"])
    assert len(refused.value.problems) == 3


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
    assert list(problems) == [problem]


def test_no_file_and_no_configuration(tmp_path: Path) -> None:
    problems = Problems()
    read_file(tmp_path / "none", problems)
    (tmp_path / "other").write_text("kind: Pod")
    read_file(tmp_path / "other", problems)
    (tmp_path / "old").write_text(f"kind: {KIND}\napiVersion: kubescheduler.config.k8s.io/v1beta3\n")
    read_file(tmp_path / "old", problems)
    assert list(problems) == [
        f"open {tmp_path}/none: no such file or directory",
        "Object 'apiVersion' is missing in 'kind: Pod'",
        f'no kind "{KIND}" is registered for version "kubescheduler.config.k8s.io/v1beta3" in scheme '
        '"pkg/scheduler/apis/config/scheme/scheme.go:30"',
    ]


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
    connection = {"kubeconfig": str(a_kubeconfig(tmp_path))}
    said = {"leaderElect": False, "leaseDuration": "6s", "renewDeadline": "4s", "resourceName": "mine"}
    assert read(tmp_path, leaderElection=said, clientConnection=connection).leader_lease == (6.0, 4.0, 2.0)
    argv = [f"--config={tmp_path / 'scheduler.yaml'}"]
    found = parse([*argv, "--leader-elect-retry-period=1s"])
    assert (found.leader_elect, found.leader_lease) == (False, (6.0, 4.0, 1.0))
    assert found.lease == LeaseAt("kube-system", "mine")
    elsewhere = ["--leader-elect-resource-name=theirs", "--leader-elect-resource-namespace=lab"]
    assert parse([*argv, *elsewhere]).lease == LeaseAt("lab", "theirs")
    # The election is off: nobody looks at its times.
    assert parse([*argv, "--leader-elect-lease-duration=3s"]).leader_lease == (3.0, 4.0, 2.0)
    for flag, told in (
        (
            "--leader-elect-lease-duration=3s",
            "leaderElection.leaseDuration: Invalid value: 4s: must be greater than `RenewDeadline`",
        ),
        (
            "--leader-elect-retry-period=3.5s",
            "couldn't create leader elector: renewDeadline must be greater than retryPeriod*JitterFactor",
        ),
        (
            "--leader-elect-retry-period=-1s",
            "leaderElection.retryPeriod: Invalid value: -1s: must be greater than zero",
        ),
    ):
        with pytest.raises(ConfigError) as refused:
            parse([*argv, "--leader-elect", flag])
        assert refused.value.problems == [told]


def test_beside_a_file_the_kubeconfig_of_the_command_line_is_ignored(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    read(tmp_path)
    kubeconfig = a_kubeconfig(tmp_path)
    flags = [f"--config={tmp_path / 'scheduler.yaml'}", f"--kubeconfig={kubeconfig}"]
    with pytest.raises(ConfigError) as refused:
        parse(flags)
    assert refused.value.problems == [
        "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
    ]
    read(tmp_path, clientConnection={"kubeconfig": str(kubeconfig)})
    assert parse([flags[0], "--kubeconfig=/none"]).kubeconfig == str(kubeconfig)


def test_configz_shows_what_is_in_force_with_upstreams_names(tmp_path: Path) -> None:
    constraint = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    spread = {"name": "PodTopologySpread", "args": {"defaultingType": "List", "defaultConstraints": [constraint]}}
    kubeconfig = a_kubeconfig(tmp_path)
    read(tmp_path, profiles=[{"pluginConfig": [spread]}], clientConnection={"kubeconfig": str(kubeconfig)})
    argv = [f"--config={tmp_path / 'scheduler.yaml'}"]
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


@pytest.fixture
def log_restored() -> Iterator[None]:
    """A daemon's main sets up the log of its process: here, that of all tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("log_restored")
def test_the_configuration_in_force_is_written_and_can_be_read_again(tmp_path: Path) -> None:
    kubeconfig = a_kubeconfig(tmp_path)
    target = tmp_path / "written.yaml"
    assert main([f"--kubeconfig={kubeconfig}", f"--write-config-to={target}"]) == 0
    usual = target.read_text()
    assert 'clientConnection:\n  acceptContentTypes: ""\n  burst: 100\n' in usual and "*id" not in usual
    document = yaml.safe_load(usual)
    assert document["leaderElection"]["leaseDuration"] == "15s" and document["parallelism"] == 16
    (only,) = document["profiles"]
    assert [each["name"] for each in only["pluginConfig"]] == sorted(each["name"] for each in only["pluginConfig"])
    enabled = only["plugins"]["multiPoint"]["enabled"]
    assert enabled[0] == {"name": "SchedulingGates", "weight": 0}
    assert {"name": "TaintToleration", "weight": 3} in enabled and len(enabled) == 18
    read_file(target, problems := Problems())
    assert not list(problems)
    assert main([f"--config={target}", f"--write-config-to={target}"]) == 0
    assert target.read_text() == usual


@pytest.mark.usefixtures("log_restored")
def test_what_was_said_is_written_completed(tmp_path: Path) -> None:
    plugins = {
        "score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality"}]},
        "multiPoint": {"disabled": [{"name": "VolumeBinding"}], "enabled": [{"name": "NodeAffinity", "weight": 9}]},
    }
    fit = {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}
    read(
        tmp_path, parallelism=4, clientConnection={"kubeconfig": str(a_kubeconfig(tmp_path))},
        profiles=[{"schedulerName": "packed", "plugins": plugins, "pluginConfig": [fit]}],
    )  # fmt: skip
    target = tmp_path / "written.yaml"
    flags = [f"--config={tmp_path / 'scheduler.yaml'}", "--leader-elect=false", f"--write-config-to={target}"]
    assert main(flags) == 0
    document = yaml.safe_load(target.read_text())
    (only,) = document["profiles"]
    assert (document["parallelism"], document["leaderElection"]["leaderElect"]) == (4, False)
    assert only["plugins"]["score"] == {
        "disabled": [{"name": "*", "weight": 0}], "enabled": [{"name": "ImageLocality", "weight": 0}]
    }  # fmt: skip
    multi = only["plugins"]["multiPoint"]
    assert {"name": "NodeAffinity", "weight": 9} in multi["enabled"] and len(multi["enabled"]) == 17
    told = {each["name"]: each["args"] for each in only["pluginConfig"]}
    assert "VolumeBinding" not in told
    assert told["NodeResourcesFit"]["scoringStrategy"] == {
        "type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]
    }  # fmt: skip
    assert main([flags[0], f"--write-config-to={tmp_path}/none/x"]) == 1
