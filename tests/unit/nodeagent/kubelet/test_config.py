"""Flags and the configuration file; every problem at once, in upstream's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.kit.config import ConfigError
from apimachinery.meta import feature_gates
from nodeagent.kubelet import gates
from nodeagent.kubelet.config import load
from nodeagent.kubelet.config_file import SCHEMA
from nodeagent.kubelet.config_flags import FILE_FLAGS

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

# What kubeadm 1.32 writes to /var/lib/kubelet/config.yaml.
KUBEADM = (
    HEAD
    + """\
authentication:
  anonymous: {enabled: false}
  webhook: {cacheTTL: 0s, enabled: true}
  x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}
authorization:
  mode: Webhook
  webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}
cgroupDriver: cgroupfs
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: true
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
"""
)


def problems(tmp_path: Path, text: str, *flags: str) -> list[str]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load([f"--config={file}", *flags])
    return refused.value.problems


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        HEAD + "clusterDNS: [10.96.0.10]\nmaxPods: 30\nstaticPodPath: /m\nrotateCertificates: true\nsyncFrequency: 0s\n"
        "authentication: {x509: {clientCAFile: /ca}, webhook: {cacheTTL: 1m0s}}\n"
        "kubeReserved: {cpu: 100m, memory: 1Mi}\n"
        "containerLogMaxSize: 1Mi\nnodeStatusUpdateFrequency: 0s\n"
    )
    config = load(
        [
            f"--config={file}",
            "--max-pods",
            "20",
            "--node-labels=a=b,c=",
            "--register-with-taints=k=v:NoSchedule,x:NoExecute",
            "--root-dir=/r",
            "--hostname-override=Node1",
            "--node-ip=192.0.2.1",
            "--eviction-hard=memory.available<200Mi,nodefs.available<5%",
            "--seccomp-default",
        ]
    )
    assert (config.max_pods, config.cluster_dns, config.static_pod_path) == (20, ("10.96.0.10",), Path("/m"))
    assert (config.client_ca_file, config.webhook_authn_ttl, config.status_update) == (Path("/ca"), 60.0, 10.0)
    assert config.kube_reserved == {"cpu": 100, "memory": 1 << 20} and config.log_max_size == 1 << 20
    assert config.node_labels == {"a": "b", "c": ""} and config.cert_dir == Path("/r/pki")
    assert config.register_with_taints == (
        {"key": "k", "value": "v", "effect": "NoSchedule"},
        {"key": "x", "effect": "NoExecute"},
    )
    assert config.node_name == "node1" and config.seccomp_default
    assert config.eviction_hard == {"memory.available": "200Mi", "nodefs.available": "5%"}


def test_the_file_that_kubeadm_writes(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(KUBEADM)
    config = load([f"--config={file}", "--pod-infra-container-image=registry.k8s.io/pause:3.10"])
    assert config.rotate_certificates and config.authorized_ttl == 300 and config.crash_backoff_max == 300
    shown = config.shown()
    assert shown["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert shown["syncFrequency"] == "1m0s" and shown["maxPods"] == 110 and shown["clusterDNS"] == ["10.96.0.10"]
    assert shown["evictionHard"]["memory.available"] == "100Mi"
    assert shown["containerRuntimeEndpoint"] == "unix:///run/containerd/containerd.sock"


def test_an_empty_map_is_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "evictionHard: {}\nenforceNodeAllocatable: []\nhealthzPort: 0\nresolvConf: ''\n")
    config = load([f"--config={file}"])
    assert config.eviction_hard == {} and config.enforce_node_allocatable == ()
    assert config.healthz_port == 0 and config.resolv_conf is None


def test_flags_set_what_the_file_would() -> None:
    flags = {
        "--protect-kernel-defaults": ("protectKernelDefaults", True),
        "--make-iptables-util-chains=false": ("makeIPTablesUtilChains", False),
        "--streaming-connection-idle-timeout=5m": ("streamingConnectionIdleTimeout", "5m0s"),
        "--event-qps=0": ("eventRecordQPS", 0),
        "--registry-burst=7": ("registryBurst", 7),
        "--oom-score-adj=-500": ("oomScoreAdj", -500),
        "--tls-cipher-suites=TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384": (
            "tlsCipherSuites",
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"],
        ),
        "--enforce-node-allocatable=pods": ("enforceNodeAllocatable", ["pods"]),
    }
    document = load(list(flags)).document
    assert {path: document[path] for path, _ in flags.values()} == dict(flags.values())


def test_every_flag_sets_a_field_that_there_is() -> None:
    assert {path for path, _ in FILE_FLAGS.values()} <= SCHEMA.keys()


@pytest.mark.parametrize(
    ("text", "flags", "periods"),
    [
        ("", (), (10, 300)),
        ("nodeStatusUpdateFrequency: 20s\n", (), (20, 20)),
        ("nodeStatusUpdateFrequency: 20s\nnodeStatusReportFrequency: 1m\n", (), (20, 60)),
        ("nodeStatusUpdateFrequency: 0s\n", (), (10, 300)),
        ("", ("--node-status-update-frequency=20s",), (20, 300)),
    ],
)
def test_how_often_the_node_is_told_of(
    tmp_path: Path, text: str, flags: tuple[str, ...], periods: tuple[int, int]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + text)
    config = load([f"--config={file}", *flags])
    assert (config.status_update, config.status_report) == periods


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    told = "\n".join(
        problems(
            tmp_path,
            HEAD + "maxPods: many\nclusterDns: [x]\ncgroupDriver: upstart\nauthentication: {x508: {}}\nport: 99999\n",
            "--node-ip=x",
            "--hostname-override=a_b",
            "--kubeconfig=/none",
        )
    )
    for word in (
        "json: cannot unmarshal string into Go struct field KubeletConfiguration.maxPods of type int32",
        'strict decoding error: unknown field "clusterDns", unknown field "authentication.x508"',
        "upstart",
        "invalid configuration: port (--port) 99999 must be between 1 and 65535, inclusive",
        "--node-ip",
        "a_b",
        "/none: no such file",
    ):
        assert word in told


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("evictionHard: {pid.available: 100, nodefs.available: 1Gi}", "number", ".evictionHard of type string"),
        ("featureGates: {NodeSwap: 'yes'}", "string", ".featureGates of type bool"),
        ("clusterDNS: [10.0.0.1, 7]", "number", ".clusterDNS of type string"),
        ("clusterDNS: 10.0.0.1", "string", ".clusterDNS of type []string"),
        ("evictionHard: [a]", "array", ".evictionHard of type map[string]string"),
    ],
)
def test_a_part_of_a_list_or_map_that_is_wrong(tmp_path: Path, line: str, kind: str, told: str) -> None:
    sentence = f"json: cannot unmarshal {kind} into Go struct field KubeletConfiguration{told}"
    assert sentence in "\n".join(problems(tmp_path, f"{HEAD}{line}\n"))


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--what", "failed to parse kubelet flag: unknown flag: --what"),
        (
            "--max-pods=many",
            'failed to parse kubelet flag: invalid argument "many" for "--max-pods" flag: '
            'strconv.ParseInt: parsing "many": invalid syntax',
        ),
    ],
)
def test_a_flag_that_cannot_be_read_is_told_alone(tmp_path: Path, flag: str, told: str) -> None:
    assert problems(tmp_path, HEAD + "maxPods: many\n", flag) == [told]


def test_flags_that_belong_into_the_file_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    load(["--max-pods=30", "--hostname-override=a", "--housekeeping-interval=10s", "--provider-id=a", "--vmodule=a=1"])
    assert capsys.readouterr().err == (
        "Flag --max-pods has been deprecated, This parameter should be set via the config file specified by the "
        "Kubelet's --config flag. See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for "
        "more information.\n"
    )
    load(["--containerd=/x", "--logging-format=text", "--seccomp-default", "--fail-cgroupv1=false"])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("Flag --containerd has been deprecated, This is a cadvisor flag that was mistakenly")
    assert second.startswith("Flag --logging-format has been deprecated, This parameter should be set via")


def test_a_file_is_read_as_go_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "failSwapOn: n\nclusterDomain: 12:30\n---\nkind: another\n")
    document = load([f"--config={file}"]).document
    assert document["failSwapOn"] is False and document["clusterDomain"] == "12:30"
    file.write_text("kind: a: b\n")
    with pytest.raises(ConfigError, match="failed to decode: yaml: mapping values are not allowed in this context"):
        load([f"--config={file}"])


def test_unknown_and_repeated_fields_are_warned_of_and_the_last_setting_counts(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "maxPods: 30\nclusterDns: [x]\nauthentication:\n  x508: {}\nmaxPods: 40\n")
    config = load([f"--config={file}"])
    assert config.max_pods == 40 and config.cluster_dns == ()
    assert config.warnings == (
        "using lenient decoding as strict decoding failed: strict decoding error: "
        'yaml: unmarshal errors:\n  line 7: key "maxPods" already set in map, '
        'unknown field "clusterDns", unknown field "authentication.x508"',
    )
    file.write_text(KUBEADM)
    assert load([f"--config={file}"]).warnings == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("maxPods: -1", "maxPods (--max-pods) -1 must not be a negative number"),
        ("imageGCLowThresholdPercent: 90", "imageGCLowThresholdPercent (--image-gc-low-threshold) 90 must be less than "
         "imageGCHighThresholdPercent (--image-gc-high-threshold) 85"),
        ("maxParallelImagePulls: 2", "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls "
         "(--serialize-image-pulls) is set to false"),
        ("shutdownGracePeriod: 100ms", "shutdownGracePeriod {100ms} must be either zero or otherwise >= 1 sec"),
        ("shutdownGracePeriodCriticalPods: 5s",
         "shutdownGracePeriodCriticalPods {5s} must be <= shutdownGracePeriod {0s}"),
        ("enforceNodeAllocatable: [pods, pods]",
         'duplicated enforcements "pods" in enforceNodeAllocatable (--enforce-node-allocatable)'),
        ("enforceNodeAllocatable: [system-reserved]",
         "systemReservedCgroup (--system-reserved-cgroup) must be specified"),
        ("hairpinMode: loop", 'option "loop" specified for hairpinMode (--hairpin-mode). Valid options are "none", '
         '"hairpin-veth" or "promiscuous-bridge"'),
        ("topologyManagerScope: node",
         'topologyManagerScope (--topology-manager-scope) "node" must be one of: "container", or "pod"'),
        ("containerLogMaxFiles: 1", "containerLogMaxFiles must be greater than 1"),
        ("podLogsDir: logs", 'pod logs path "logs" must be absolute path'),
        ("podLogsDir: /a/../b", 'pod logs path "/a/../b" must be normalized'),
        ("crashLoopBackOff: {maxContainerRestartPeriod: 20s}",
         "FeatureGate KubeletCrashLoopBackOffMax not enabled, "
         "CrashLoopBackOff.MaxContainerRestartPeriod must not be set"),
        ("evictionSoft: {memory.available: 1Gi}",
         "grace period must be specified for the soft eviction threshold memory.available"),
        ("evictionHard: {memory: 1Gi}", "evictionHard: unsupported eviction signal memory"),
        ("evictionHard: {memory.available: '0'}",
         "evictionHard: eviction threshold memory.available must be positive: 0"),
        ("evictionHard: {memory.available: 101%}",
         "evictionHard: eviction percentage threshold memory.available must be <= 100%: 101%"),
        ("evictionSoft: {memory.available: -1%}",
         "evictionSoft: eviction percentage threshold memory.available must be >= 0%: -1%"),
        ("evictionHard: {memory.available: much}",
         "evictionHard: invalid eviction threshold much for memory.available"),
        ("evictionMinimumReclaim: {memory.available: 0%}",
         "evictionMinimumReclaim: eviction percentage minimum reclaim memory.available must be positive: 0%"),
        ("evictionMinimumReclaim: {memory.available: '-1'}",
         "evictionMinimumReclaim: negative eviction minimum reclaim specified for memory.available"),
        ("kubeReserved: {disk: 1Gi}", 'kubeReserved: cannot reserve "disk" resource'),
        ("tlsCipherSuites: [TLS_NONE]", "Cipher suite TLS_NONE not supported or doesn't exist"),
        ("tlsMinVersion: VersionTLS9", 'unknown tls version "VersionTLS9"'),
        ("clusterDNS: [dns]", 'Invalid DNS server IP "dns"'),
    ],
)  # fmt: skip
def test_upstreams_sentences(tmp_path: Path, text: str, sentence: str) -> None:
    assert any(problem.startswith(f"invalid configuration: {sentence}") for problem in problems(tmp_path, HEAD + text))


def test_a_gate_makes_a_field_possible(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        HEAD + "featureGates: {KubeletCrashLoopBackOffMax: true}\ncrashLoopBackOff: {maxContainerRestartPeriod: 20s}\n"
    )
    assert load([f"--config={file}"]).crash_backoff_max == 20


def test_a_locked_gate_cannot_be_closed_and_one_without_effect_is_known(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, HEAD + "featureGates: {AppArmor: false, CPUManager: true}\n")
    assert problem == (
        "failed to set feature gates from initial flags-based config: "
        "cannot set feature gate AppArmor to false, feature is locked to true"
    )
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "featureGates: {EventedPLEG: true, NodeSwap: false, AppArmor: true}\n")
    asked = load([f"--config={file}"]).document["featureGates"]
    assert gates.without_effect(asked) == ["EventedPLEG"]


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        ("InPlacePodVerticalScalling: true", "unrecognized feature gate: InPlacePodVerticalScalling"),
        ("DRADeviceTaints: false", "unrecognized feature gate: DRADeviceTaints"),
        (
            "AllowServiceLBStatusOnNonLB: true",
            "cannot set feature gate AllowServiceLBStatusOnNonLB to true, feature is locked to false",
        ),
    ],
    ids=["misspelt", "of a later release", "locked off"],
)
def test_gates_that_cannot_be_set(tmp_path: Path, gate: str, sentence: str) -> None:
    [problem] = problems(tmp_path, f"{HEAD}featureGates: {{{gate}}}\n")
    assert problem == f"failed to set feature gates from initial flags-based config: {sentence}"
    [problem] = problems(tmp_path, HEAD, f"--feature-gates={gate.replace(': ', '=')}")
    assert problem.endswith(sentence)


def _wrong(kind: str) -> Any:
    return [1] if kind in ("*", "int32", "*int32", "bool", "*bool", "string", "*string", "float64", "*float64") else 7


@pytest.mark.parametrize("path", [path for path, (kind, _) in SCHEMA.items() if kind != "*"])
def test_every_field_has_a_type(tmp_path: Path, path: str) -> None:
    document: Any = _wrong(SCHEMA[path][0]) if "int64" not in SCHEMA[path][0] else "x"
    for part in reversed(path.split(".")):
        document = {part: document}
    told = problems(tmp_path, HEAD + yaml.safe_dump(document))
    assert any(f"KubeletConfiguration.{path} of type" in problem for problem in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            HEAD.replace("v1beta1", "v1"),
            'error failed to decode: no kind "KubeletConfiguration" is registered for version '
            '"kubelet.config.k8s.io/v1" in scheme "pkg/kubelet/apis/config/scheme/scheme.go:33"',
        ),
        ("kind: KubeletConfiguration", "error failed to decode: Object 'apiVersion' is missing in 'kind: KubeletConf"),
        ("maxPods: 3\n", "error failed to decode: Object 'Kind' is missing in 'maxPods: 3\n'"),
        ("", 'config.yaml" was empty'),
    ],
)
def test_a_file_of_another_kind_is_refused_in_gos_words(tmp_path: Path, text: str, told: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.startswith("failed to load kubelet config file, path: ") and told in problem


def test_a_file_that_is_no_yaml_or_is_missing(tmp_path: Path) -> None:
    assert "failed to load kubelet config file" in problems(tmp_path, "a: [")[0]
    with pytest.raises(ConfigError):
        load([f"--config={tmp_path}/none"])


@pytest.mark.parametrize("word", ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"])
def test_gates_take_gos_words_for_yes_and_no(word: str) -> None:
    wanted = word in ("1", "t", "T", "TRUE", "true", "True")
    assert feature_gates.parse(f"NodeSwap={word}, NodeLogQuery = {word}") == {
        "NodeSwap": wanted,
        "NodeLogQuery": wanted,
    }
    assert load([f"--feature-gates=NodeSwap={word}"]).gates["NodeSwap"] is wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NodeSwap=yes", 'invalid value of NodeSwap=yes, err: strconv.ParseBool: parsing "yes": invalid syntax'),
        ("NodeSwap=tRUE", 'invalid value of NodeSwap=tRUE, err: strconv.ParseBool: parsing "tRUE": invalid syntax'),
        ("NodeSwap", "missing bool value for NodeSwap"),
    ],
)
def test_other_words_for_a_gate_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(why) + "$"):
        feature_gates.parse(text)
    with pytest.raises(ConfigError, match=re.escape(why)):
        load([f"--feature-gates={text}"])
