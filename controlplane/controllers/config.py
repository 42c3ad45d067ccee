"""The controller manager's configuration: upstream's flags, checked as a whole."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.client.component import ComponentConfig, flag_parser, given, positive_seconds, read_flags
from apimachinery.kit.config import Problems, boolean
from apimachinery.kit.flags import FlagParser, Joined
from apimachinery.meta.addresses import parse_cidr
from controlplane.controllers import config_signing, config_workers
from controlplane.controllers.accepted_flags import ACCEPTED
from controlplane.controllers.config_signing import Authorities, read_authorities
from controlplane.controllers.config_workers import USUAL_WORKERS, read_workers
from controlplane.controllers.hpa_replicas import USUAL, Caution

DEFAULT_PORT = 10257
_HPA = "--horizontal-pod-autoscaler"
_DURATIONS = {
    "--cluster-signing-duration": ("8760h0m0s", "longest validity of the certificates issued"),
    "--legacy-service-account-token-clean-up-period": (
        "8760h0m0s",
        "that a token which is kept in a Secret may be unused",
    ),
    "--node-monitor-period": ("5s", "between two looks at all nodes"),
    "--node-monitor-grace-period": ("50s", "of silence, after which a node is no longer Ready"),
    "--node-startup-grace-period": ("1m0s", "the same for a node that has never been heard"),
    f"{_HPA}-sync-period": ("15s", "between two looks at an autoscaler"),
    f"{_HPA}-downscale-stabilization": ("5m0s", "that a recommendation counts against scaling down"),
    f"{_HPA}-cpu-initialization-period": ("5m0s", "after a pod's start in which its processor time may not count"),
    f"{_HPA}-initial-readiness-delay": ("30s", "after a pod's start in which it counts as not ready yet"),
}
_SHARES = {
    "--node-eviction-rate": (0.1, "nodes a second whose pods may begin to be evicted, in a healthy zone"),
    "--secondary-node-eviction-rate": (0.01, "the same in an unhealthy one; none, when it is small"),
    "--unhealthy-zone-threshold": (0.55, "share of nodes not Ready, at least three, that makes a zone unhealthy"),
    f"{_HPA}-tolerance": (0.1, "how far from one usage to target must be to change anything"),
}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# Names that --controllers knew before 1.28 and still takes (KCMControllerAliases); kubeadm writes them.
_FORMER = {
    "endpoint": "endpoints-controller",
    "endpointslice": "endpointslice-controller",
    "endpointslicemirroring": "endpointslicemirroring-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "podgc": "pod-garbage-collector-controller",
    "resourcequota": "resourcequota-controller",
    "namespace": "namespace-controller",
    "serviceaccount": "serviceaccount-controller",
    "garbagecollector": "garbage-collector-controller",
    "daemonset": "daemonset-controller",
    "job": "job-controller",
    "deployment": "deployment-controller",
    "replicaset": "replicaset-controller",
    "statefulset": "statefulset-controller",
    "ttl": "ttl-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
    "nodeipam": "node-ipam-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "bootstrapsigner": "bootstrap-signer-controller",
    "tokencleaner": "token-cleaner-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "serviceaccount-token": "serviceaccount-token-controller",
    "legacy-service-account-token-cleaner": "legacy-serviceaccount-token-cleaner-controller",
    "clusterrole-aggregation": "clusterrole-aggregation-controller",
    "cronjob": "cronjob-controller",
    "disruption": "disruption-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "persistentvolume-binder": "persistentvolume-binder-controller",
    "persistentvolume-expander": "persistentvolume-expander-controller",
    "attachdetach": "persistentvolume-attach-detach-controller",
    "ephemeral-volume": "ephemeral-volume-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "pv-protection": "persistentvolume-protection-controller",
}


@dataclass(frozen=True, slots=True)
class ControllersConfig(ComponentConfig):
    """What `wire.build` needs. Durations are seconds.

    root_ca: PEM of the cluster's authority, published to every namespace; None publishes nothing. root_ca_file: where
    it was read.
    cluster_cidr: where nodes get their pod subnets from; None allocates none.
    node_mask: prefix length of each node's subnet. second_cluster_cidr, second_node_mask: of the other family, on
    dual-stack clusters.
    signing: the authorities that sign certificate requests; signing_duration: how long their certificates hold at
    most. token_key: file of the key that signs tokens which are kept in Secrets; legacy_token_period: how long those
    may be unused.
    use_service_account_credentials: every controller asks in the name of a service account of its own.
    workers: by controller, how many objects it works on at once.
    Eviction rates are nodes a second; hpa_down_window: how long a recommendation counts against scaling down.
    """

    controllers: tuple[str, ...] = ("*",)
    root_ca: bytes | None = None
    root_ca_file: Path | None = None
    cluster_cidr: Network | None = None
    service_cidr: Network | None = None
    second_service_cidr: Network | None = None
    node_mask: int = 24
    second_cluster_cidr: Network | None = None
    second_node_mask: int = 64
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 50.0
    node_startup_grace_period: float = 60.0
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    large_cluster_size_threshold: int = 50
    unhealthy_zone_threshold: float = 0.55
    hpa_sync_period: float = 15.0
    hpa_down_window: float = 300.0
    hpa_caution: Caution = USUAL
    terminated_pod_threshold: int = 12500
    disable_force_detach: bool = False
    max_endpoints_per_slice: int = 100
    dynamic_provisioning: bool = True
    workers: Mapping[str, int] = field(default_factory=lambda: USUAL_WORKERS)
    signing: Authorities = field(default_factory=dict)
    signing_duration: float = 365 * 86400.0
    token_key: Path | None = None
    legacy_token_period: float = 365 * 86400.0
    use_service_account_credentials: bool = False

    def enabled(self, name: str, *, by_default: bool) -> bool:
        """Tell whether `--controllers` asks for the controller: `name`, `-name`, or `*` for the default ones."""
        named = {_FORMER.get(each.removeprefix("-"), each.removeprefix("-")): each for each in self.controllers}
        if named.get(name, "").startswith("-"):
            return False
        return name in named or ("*" in self.controllers and by_default)


def parse(argv: Sequence[str]) -> ControllersConfig:
    """Read the command line. Raises ConfigError with every problem; SystemExit for --help and --version."""
    args = _parser().read(argv)
    problems = Problems()
    component = read_flags(args, problems)
    authorities, workers = read_authorities(args, problems), read_workers(args, problems)
    clusters = _networks("--cluster-cidr", args.cluster_cidr, problems) if args.allocate_node_cidrs else []
    if args.allocate_node_cidrs and not args.cluster_cidr:
        problems.add("--cluster-cidr", "is needed by --allocate-node-cidrs")
    services = _networks("--service-cluster-ip-range", args.service_cluster_ip_range, problems)
    masks = [_mask(args, cluster, len(clusters) > 1, problems) for cluster in clusters]
    root_ca = _read("--root-ca-file", args.root_ca_file, problems)
    seconds = {flag: positive_seconds(args, flag, problems) for flag in _DURATIONS}
    for flag in _SHARES:
        if (share := given(args, flag)) < 0.0:
            problems.add(flag, f"{share:g} is less than nothing")
    if not 1 <= (asked := args.max_endpoints_per_slice) <= 1000:
        bound = "less than 1" if asked < 1 else "more than 1000"
        problems.add("--max-endpoints-per-slice", f"must not be {bound}, but got {asked}")
    _read("--service-account-private-key-file", args.service_account_private_key_file, problems)
    problems.raise_if_any()
    return ControllersConfig(
        **component,
        controllers=_controllers(args),
        root_ca=root_ca,
        root_ca_file=args.root_ca_file,
        cluster_cidr=clusters[0] if clusters else None,
        service_cidr=services[0] if services else None,
        second_service_cidr=services[1] if len(services) > 1 else None,
        node_mask=masks[0] if masks else 24,
        second_cluster_cidr=clusters[1] if len(clusters) > 1 else None,
        second_node_mask=masks[1] if len(masks) > 1 else 64,
        node_monitor_period=seconds["--node-monitor-period"],
        node_monitor_grace_period=seconds["--node-monitor-grace-period"],
        node_startup_grace_period=seconds["--node-startup-grace-period"],
        node_eviction_rate=args.node_eviction_rate,
        secondary_node_eviction_rate=args.secondary_node_eviction_rate,
        large_cluster_size_threshold=args.large_cluster_size_threshold,
        unhealthy_zone_threshold=args.unhealthy_zone_threshold,
        hpa_sync_period=seconds[f"{_HPA}-sync-period"],
        hpa_down_window=seconds[f"{_HPA}-downscale-stabilization"],
        hpa_caution=Caution(
            args.horizontal_pod_autoscaler_tolerance,
            seconds[f"{_HPA}-cpu-initialization-period"],
            seconds[f"{_HPA}-initial-readiness-delay"],
        ),
        terminated_pod_threshold=args.terminated_pod_gc_threshold,
        disable_force_detach=bool(args.disable_force_detach_on_timeout),
        max_endpoints_per_slice=args.max_endpoints_per_slice,
        dynamic_provisioning=args.enable_dynamic_provisioning,
        workers=workers,
        signing=authorities,
        signing_duration=seconds["--cluster-signing-duration"],
        token_key=args.service_account_private_key_file,
        legacy_token_period=seconds["--legacy-service-account-token-clean-up-period"],
        use_service_account_credentials=args.use_service_account_credentials,
    )


def _controllers(args: argparse.Namespace) -> tuple[str, ...]:
    found = tuple(name.strip() for name in args.controllers.split(","))
    return found if args.enable_garbage_collector else (*found, "-garbage-collector-controller")


def _parser() -> FlagParser:
    parser = flag_parser("kube-controller-manager", "Makes the cluster follow its objects.", DEFAULT_PORT)
    parser.accept(ACCEPTED)
    add = parser.add_argument
    add("--controllers", action=Joined, default="*", help="controllers to run: *, NAME, -NAME, comma-separated")
    add("--enable-garbage-collector", type=boolean, nargs="?", const=True, default=True)
    add("--allocate-node-cidrs", type=boolean, nargs="?", const=True, default=False)
    add("--cluster-cidr", default="", help="pod addresses of the cluster; one of each family, joined by a comma")
    add("--node-cidr-mask-size", type=int, help="prefix length of each node's pod subnet: 24, for IPv6 64")
    add("--node-cidr-mask-size-ipv4", type=int, help="the same on a dual-stack cluster")
    add("--node-cidr-mask-size-ipv6", type=int, help="the same on a dual-stack cluster")
    add("--service-cluster-ip-range", default="")
    add("--service-account-private-key-file", type=Path)
    add(
        "--use-service-account-credentials", type=boolean, nargs="?", const=True, default=False,
        help="every controller asks in the name of a service account of its own in kube-system",
    )  # fmt: skip
    add("--root-ca-file", type=Path, help="published to every namespace as ConfigMap kube-root-ca.crt")
    config_signing.add_flags(parser)
    config_workers.add_flags(parser)
    for flag, (usual, text) in _DURATIONS.items():
        add(flag, default=usual, help=f"{text} ({usual})")
    for flag, (share, text) in _SHARES.items():
        add(flag, type=float, default=share, help=f"{text} ({share:g})")
    add("--large-cluster-size-threshold", type=int, default=50, help="a zone of so many nodes or fewer is small (50)")
    add("--terminated-pod-gc-threshold", type=int, default=12500)
    add("--max-endpoints-per-slice", type=int, default=100, help="at most 1000 (100)")
    add("--enable-dynamic-provisioning", type=boolean, nargs="?", const=True, default=True)
    add("--disable-force-detach-on-timeout", type=boolean, nargs="?", const=True, default=False)
    return parser


def _networks(flag: str, text: str, problems: Problems) -> list[Network]:
    found = [_network(flag, part.strip(), problems) for part in text.split(",")]
    networks = [network for network in found if network is not None]
    if len(networks) > 2 or len({network.version for network in networks}) < len(networks):
        problems.add(flag, f"{text} is more than one network of each family")
        return networks[:1]
    return networks


def _mask(args: argparse.Namespace, cluster: Network, dual: bool, problems: Problems) -> int:
    special = args.node_cidr_mask_size_ipv4 if cluster.version == 4 else args.node_cidr_mask_size_ipv6
    flag, told = f"--node-cidr-mask-size-ipv{cluster.version}", special
    if told is None and not dual:
        flag, told = "--node-cidr-mask-size", args.node_cidr_mask_size
    mask = int(told) if told is not None else 24 if cluster.version == 4 else 64
    # As upstream, at most 2^16 subnets: more cannot be kept account of.
    if not cluster.prefixlen <= mask <= min(cluster.max_prefixlen, cluster.prefixlen + 16):
        problems.add(flag, f"{mask} does not fit into {cluster}")
    return mask


def _network(flag: str, text: str, problems: Problems) -> Network | None:
    if not text:
        return None
    network = parse_cidr(text)
    if network is None:
        problems.add(flag, f"{text!r} is no network")
    return network


def _read(flag: str, path: Path | None, problems: Problems) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        problems.add(flag, f"{path}: {error.strerror}")
        return None
