"""The controller manager's flags: where nodes get their pod subnets from, and how patient it is."""

from pathlib import Path

import pytest

from apimachinery.client.rest import Client
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.config import ConfigError, FlagError
from controlplane.controllers.config import ControllersConfig, parse
from controlplane.controllers.configz import shown
from controlplane.controllers.context import Context
from controlplane.controllers.descriptors import DESCRIPTORS
from controlplane.controllers.hpa_replicas import Caution

_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: controllers, user: {}}]
contexts: [{name: lab, context: {cluster: lab, user: controllers}}]
current-context: lab
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "controllers.conf"
    path.write_text(_KUBECONFIG)
    return f"--kubeconfig={path}"


def pods(config: ControllersConfig) -> list[tuple[str, int]]:
    found = [(config.cluster_cidr, config.node_mask), (config.second_cluster_cidr, config.second_node_mask)]
    return [(str(network), mask) for network, mask in found if network is not None]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--cluster-cidr=10.244.0.0/16", [("10.244.0.0/16", 24)]),
        ("--cluster-cidr=10.244.0.0/16 --node-cidr-mask-size=26", [("10.244.0.0/16", 26)]),
        ("--cluster-cidr=fd00:244::/48", [("fd00:244::/48", 64)]),
        ("--cluster-cidr=10.244.3.0/16", [("10.244.0.0/16", 24)]),
        ("--cluster-cidr=10.244.0.0/16,fd00:244::/56", [("10.244.0.0/16", 24), ("fd00:244::/56", 64)]),
        (
            "--cluster-cidr=fd00:244::/56,10.244.0.0/16 --node-cidr-mask-size-ipv4=25 --node-cidr-mask-size-ipv6=60",
            [("fd00:244::/56", 60), ("10.244.0.0/16", 25)],
        ),
    ],
)
def test_one_network_of_each_family(kubeconfig: str, flags: str, expected: list[tuple[str, int]]) -> None:
    assert pods(parse([kubeconfig, "--allocate-node-cidrs", *flags.split()])) == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--cluster-cidr=10.244.0.0/16,10.245.0.0/16", "is more than one network of each family"),
        ("--cluster-cidr=10.244.0.0/16 --node-cidr-mask-size=8", "8 does not fit into 10.244.0.0/16"),
        ("--cluster-cidr=10.244.0.0", "'10.244.0.0' is no network"),
        ("--cluster-cidr=fd00::/32", "64 does not fit into fd00::/32"),
        ("", "is needed by --allocate-node-cidrs"),
    ],
)
def test_refusals(kubeconfig: str, flags: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse([kubeconfig, "--allocate-node-cidrs", *flags.split()])


def test_patience_is_upstreams_unless_it_is_told_another(kubeconfig: str) -> None:
    usual, told = parse([kubeconfig]), parse([
        kubeconfig, "--profiling=false",
        "--node-monitor-period=2s", "--node-monitor-grace-period=16s", "--node-startup-grace-period=30s",
        "--node-eviction-rate=1", "--secondary-node-eviction-rate=0.5", "--large-cluster-size-threshold=5",
        "--unhealthy-zone-threshold=0.4", "--horizontal-pod-autoscaler-sync-period=5s",
        "--horizontal-pod-autoscaler-downscale-stabilization=1m", "--horizontal-pod-autoscaler-tolerance=0.2",
        "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=3s",
    ])  # fmt: skip

    def patience(config: ControllersConfig) -> tuple[object, ...]:
        return (
            config.node_monitor_period, config.node_monitor_grace_period, config.node_startup_grace_period,
            config.node_eviction_rate, config.secondary_node_eviction_rate, config.large_cluster_size_threshold,
            config.unhealthy_zone_threshold, config.hpa_sync_period, config.hpa_down_window, config.hpa_caution,
        )  # fmt: skip

    assert patience(usual) == (5.0, 50.0, 60.0, 0.1, 0.01, 50, 0.55, 15.0, 300.0, Caution(0.1, 300.0, 30.0))
    assert patience(told) == (2.0, 16.0, 30.0, 1.0, 0.5, 5, 0.4, 5.0, 60.0, Caution(0.2, 10.0, 3.0))


def test_every_wrong_flag_is_told(kubeconfig: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse([kubeconfig, "--node-monitor-period=0s", "--node-monitor-grace-period=soon", "--node-eviction-rate=-1"])
    text = str(refused.value)
    for flag in ("--node-monitor-period", "--node-monitor-grace-period", "--node-eviction-rate"):
        assert flag in text


def test_upstreams_flags_start_ours(kubeconfig: str) -> None:
    """Of its own test, and of hardened clusters."""
    config = parse([
        kubeconfig, "--attach-detach-reconcile-sync-period=30s", "--cidr-allocator-type=RangeAllocator",
        "--cloud-config=/cloud-config", "--cloud-provider=external", "--cluster-name=k8s",
        "--concurrent-deployment-syncs=10", "--concurrent-gc-syncs=30", "--concurrent_rc_syncs=10",
        "--concurrent-service-endpoint-syncs=10", "--concurrent-validating-admission-policy-status-syncs=9",
        "--configure-cloud-routes=false", "--contention-profiling=true", "--controller-start-interval=2m",
        "--disable-attach-detach-reconcile-sync=true", "--enable-dynamic-provisioning=true",
        "--enable-garbage-collector", "--enable-hostpath-provisioner=true", "--flex-volume-plugin-dir=/flex",
        "--http2-max-streams-per-connection=47", "--kube-api-burst=100", "--kube-api-content-type=application/json",
        "--kube-api-qps=50.0", "--master=192.168.4.20", "--max-endpoints-per-slice=200", "--min-resync-period=8h",
        "--mirroring-concurrent-service-endpoint-syncs=2", "--mirroring-max-endpoints-per-subset=1000",
        "--namespace-sync-period=10m", "--profiling=false", "--pv-recycler-increment-timeout-nfs=45",
        "--pv-recycler-minimum-timeout-hostpath=45", "--pv-recycler-timeout-increment-hostpath=45",
        "--pvclaimbinder-sync-period=30s", "--resource-quota-sync-period=10m", "--route-reconciliation-period=30s",
        "--terminated-pod-gc-threshold=12000", "--use-service-account-credentials=true", "--cert-dir=/a/b/c",
        "--bind-address=192.168.4.21", "--secure-port=10001", "--concurrent-ttl-after-finished-syncs=8",
        "--feature-gates=AllBeta=true", "--client-ca-file=/ca", "--requestheader-client-ca-file=/ca", "-v=2",
        "--logging-format=json",
    ])  # fmt: skip
    assert (config.bind_address, config.secure_port, config.terminated_pod_threshold) == ("192.168.4.21", 10001, 12000)
    assert (config.workers["deployment-controller"], config.workers["garbage-collector-controller"]) == (10, 30)
    assert (config.workers["replicationcontroller-controller"], config.workers["job-controller"]) == (10, 5)
    sections = shown(config)["kubecontrollermanager.config.k8s.io"]
    assert sections["DeploymentController"] == {"ConcurrentDeploymentSyncs": 10}
    assert sections["EndpointSliceController"] == {"MaxEndpointsPerSlice": 200, "ConcurrentServiceEndpointSyncs": 10}
    assert config.max_endpoints_per_slice == 200 and config.dynamic_provisioning
    assert not parse([kubeconfig, "--enable-dynamic-provisioning=false"]).dynamic_provisioning


@pytest.mark.parametrize(("asked", "told"), [(0, "less than 1, but got 0"), (1001, "more than 1000, but got 1001")])
def test_bounds_of_workers_on_slices(kubeconfig: str, asked: int, told: str) -> None:
    told = told.replace("1000", "50")
    with pytest.raises(ConfigError, match=f"^--concurrent-service-endpoint-syncs: must not be {told}$"):
        parse([kubeconfig, f"--concurrent-service-endpoint-syncs={asked}"])


@pytest.mark.parametrize(("asked", "told"), [(0, "less than 1, but got 0"), (1001, "more than 1000, but got 1001")])
def test_bounds_of_slices(kubeconfig: str, asked: int, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^--max-endpoints-per-slice: must not be {told}$"):
        parse([kubeconfig, f"--max-endpoints-per-slice={asked}"])


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--pod-eviction-timeout=5m", "unknown flag: --pod-eviction-timeout"),
        (
            "--feature-gates=Nonsense=true",
            'invalid argument "Nonsense=true" for "--feature-gates" flag: unrecognized feature gate: Nonsense',
        ),
    ],
)
def test_what_cannot_be_read(kubeconfig: str, flag: str, told: str) -> None:
    with pytest.raises(FlagError) as wrong:
        parse([kubeconfig, flag])
    assert str(wrong.value) == told and wrong.value.usage.startswith("Usage:\n  kube-controller-manager [flags]\n")


def test_signers_have_one_authority_or_each_its_own(kubeconfig: str) -> None:
    assert parse([kubeconfig]).signing == {}
    for_all = parse([kubeconfig, "--cluster-signing-cert-file=c", "--cluster-signing-key-file=k"])
    assert len(for_all.signing) == 4 and set(for_all.signing.values()) == {(Path("c"), Path("k"))}
    said = shown(for_all)["kubecontrollermanager.config.k8s.io"]["CSRSigningController"]
    assert said["ClusterSigningCertFile"] == "c"
    assert said["KubeletServingSignerConfiguration"] == {"CertFile": "", "KeyFile": ""}
    own = parse([
        kubeconfig, "--cluster-signing-kubelet-client-cert-file=c", "--cluster-signing-kubelet-client-key-file=k",
    ])  # fmt: skip
    assert own.signing == {"kubernetes.io/kube-apiserver-client-kubelet": (Path("c"), Path("k"))}
    said = shown(own)["kubecontrollermanager.config.k8s.io"]["CSRSigningController"]
    assert said["ClusterSigningCertFile"] == ""
    assert said["KubeletClientSignerConfiguration"] == {"CertFile": "c", "KeyFile": "k"}


def test_authorities_that_are_not_whole(kubeconfig: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse([
            kubeconfig, "--cluster-signing-cert-file=c", "--cluster-signing-key-file=k",
            "--cluster-signing-kubelet-serving-key-file=k", "--cluster-signing-legacy-unknown-cert-file=c",
        ])  # fmt: skip
    both = "cannot specify --cluster-signing-{cert,key}-file and other --cluster-signing-*-file flags at the same time"
    assert refused.value.problems == [
        '"cluster-signing-kubelet-serving": cannot specify key without cert',
        '"cluster-signing-legacy-unknown": cannot specify cert without key',
        f"--cluster-signing-cert-file: {both}",
    ]


def test_the_garbage_collector_may_be_left_out(kubeconfig: str) -> None:
    name = "garbage-collector-controller"
    assert parse([kubeconfig]).enabled(name, by_default=True)
    assert not parse([kubeconfig, "--enable-garbage-collector=false"]).enabled(name, by_default=True)


def test_which_lease_leads(kubeconfig: str) -> None:
    config = parse([kubeconfig, "--leader-elect-resource-name=mine", "--leader-elect-resource-namespace=lab"])
    elector = config.elector(Client(config.client, "test"), "kube-controller-manager", SystemClock())
    assert (elector._name, elector._namespace) == ("mine", "lab")
    elector = parse([kubeconfig]).elector(Client(config.client, "test"), "kube-controller-manager", SystemClock())
    assert (elector._name, elector._namespace) == ("kube-controller-manager", "kube-system")


def test_paths_for_everybody(kubeconfig: str) -> None:
    usual = parse([kubeconfig, "--authentication-kubeconfig=x", "--authorization-kubeconfig=x"]).open_paths
    assert "/livez" in usual and "/metrics" not in usual
    told = parse([kubeconfig, "--authorization-always-allow-paths=/metrics,debug/*"]).open_paths
    assert "/metrics" in told and "/debug/loops" in told and "/livez" not in told
    assert "/livez" not in parse([kubeconfig, "--authorization-always-allow-paths="]).open_paths
    with pytest.raises(ConfigError, match=r"--authorization-always-allow-paths: only trailing \* allowed in"):
        parse([kubeconfig, "--authorization-always-allow-paths=/a*b"])


def test_configz_shows_what_is_in_force_with_upstreams_names(kubeconfig: str) -> None:
    flags = ["--allocate-node-cidrs", "--cluster-cidr=10.244.0.0/16", "--controllers=*,-ttl", "--leader-elect=false"]
    flags += ["--use-service-account-credentials"]
    flags += ["--node-monitor-grace-period=20s", "--horizontal-pod-autoscaler-sync-period=5s"]
    found = shown(parse([kubeconfig, *flags]))["kubecontrollermanager.config.k8s.io"]
    assert found["Generic"] == {
        "Address": "0.0.0.0",
        "ClientConnection": {"Kubeconfig": kubeconfig.partition("=")[2]},
        "LeaderElection": {
            "LeaderElect": False, "LeaseDuration": "15s", "RenewDeadline": "10s", "RetryPeriod": "2s",
            "ResourceLock": "leases", "ResourceName": "kube-controller-manager", "ResourceNamespace": "kube-system",
        },
        "Controllers": ["*", "-ttl"],
    }  # fmt: skip
    shared = {
        "NodeMonitorPeriod": "5s", "ClusterCIDR": "10.244.0.0/16", "AllocateNodeCIDRs": True,
        "UseServiceAccountCredentials": True,
    }  # fmt: skip
    assert found["KubeCloudShared"] == shared and found["NodeIPAMController"]["NodeCIDRMaskSizeIPv4"] == 24
    assert found["NodeLifecycleController"]["NodeMonitorGracePeriod"] == "20s"
    assert found["HPAController"]["HorizontalPodAutoscalerSyncPeriod"] == "5s"
    assert found["CSRSigningController"]["ClusterSigningDuration"] == "8760h0m0s"
    assert found["GarbageCollectorController"] == {"EnableGarbageCollector": True, "ConcurrentGCSyncs": 20}


async def test_every_controller_of_several_workers_can_be_made(kubeconfig: str) -> None:
    config = parse([kubeconfig])
    made = [each for each in DESCRIPTORS if each.name in config.workers]
    assert len(made) == len(config.workers)
    for each in made:
        each.make(Context(Client(config.client, "test"), config, SystemClock()))
