"""The configuration: the KubeProxyConfiguration file or the flags, over upstream's defaults, checked as a whole."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apimachinery.kit.config import ConfigError, Problems, boolean
from apimachinery.kit.flags import FlagParser, Joined
from apimachinery.meta.common_flags import RELEASE
from apimachinery.meta.paths import aggregate
from nodeagent.routes.plan import Mode

from . import config_rules
from .accepted_flags import ACCEPTED, DEPRECATED
from .config_file import read_file
from .node import PRIMARY, include_localhost
from .tracking import OPTIONS, Tracking, read_tracking

_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
IPTABLES, NFTABLES = "iptables", "nftables"
_TRACKING = "tracking_"  # before the names of what is the connections' tracking, among the others
# Beside a file only these flags count: upstream's two, the log's, and those for which its file has no field.
_BESIDE_A_FILE = frozenset((
    "node_name", "cleanup", "verbosity",
    "node_routes", "pod_network", "network_policies", "cni_conf_dir", "cni_data_dir", "cni_socket",
    "pod_mtu", "announce",
))  # fmt: skip
_OLD_PORTS = {"healthz": "healthz_port", "metrics": "metrics_port"}  # of which upstream heeds only 0

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressRange = tuple[IPAddress, IPAddress]
"""The first and the last, of one family."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Periods in seconds. A bind address is (host, port); None: not served.

    min_sync_period: below upstream's 1 s, for a change here costs only the chains it touches.
    node_port_addresses: networks, or PRIMARY alone; when none is given, all in iptables mode, PRIMARY in nftables mode.
    cni_conf_dir: where the pod network's configuration is written; None: it is not. node_routes: whether the routes to
    other nodes' pods are kept. pod_network: by way of what (nodeagent/routes). network_policies: whether those are
    enforced. cni_socket: where CNI plugins ask for an answer; None: nowhere. announce: of each family the first and the
    last address of load balancers that this node may answer for; empty: it answers for none. lenient: what strict
    decoding says of the file; empty: nothing.
    """

    node_name: str = ""
    kubeconfig: Path | None = None
    mode: str = IPTABLES
    cluster_cidrs: tuple[str, ...] = ()
    healthz: tuple[str, int] | None = ("0.0.0.0", 10256)
    metrics: tuple[str, int] | None = ("127.0.0.1", 10249)
    sync_period: float = 30.0
    min_sync_period: float = 0.2
    masquerade_bit: int = 14
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    node_port_addresses: tuple[str, ...] = ()
    tracking: Tracking = field(default_factory=Tracking)
    oom_score_adj: int = -999
    node_routes: bool = True
    pod_network: Mode = Mode.AUTO
    network_policies: bool = True
    cni_conf_dir: Path | None = Path("/etc/cni/net.d")
    cni_data_dir: str = ""
    cni_socket: Path | None = Path("/run/kubelab/cni.sock")
    pod_mtu: int = 0
    announce: tuple[AddressRange, ...] = ()
    cleanup: bool = False
    verbosity: int = 0
    lenient: str = ""

    @property
    def serves_localhost(self) -> bool:
        """Whether node ports answer on 127.0.0.1: in iptables mode, unless other addresses were chosen."""
        wanted = self.mode != NFTABLES and self.localhost_node_ports and 4 in self.families
        return wanted and include_localhost(self.node_port_addresses)

    @property
    def families(self) -> tuple[int, ...]:
        """Those of the pod network: 4, 6 or both; 4 when it is not known."""
        return tuple(sorted({ipaddress.ip_network(cidr).version for cidr in self.cluster_cidrs})) or (4,)


def parse(argv: Sequence[str]) -> Config:
    """Raises ConfigError with every problem of flags and file; SystemExit for --help and --version."""
    flags = vars(_parser().read(argv))
    problems = Problems()
    path: Path | None = flags.pop("config")
    document, lenient = read_file(path) if path is not None else ({}, "")
    values = _of_file(document) | {"lenient": lenient}
    closed = {what: "" for what, old in _OLD_PORTS.items() if flags.pop(old) == 0 and path is None}
    said = {name: value for name, value in flags.items() if value is not None}
    if path is not None:
        said = {name: value for name, value in said.items() if name in _BESIDE_A_FILE}
    return _checked(values | said | closed, problems, of_file=path is not None)


def _parser() -> FlagParser:
    parser = FlagParser("kube-proxy", "The service proxy and pod network of a node.", RELEASE)
    parser.accept(ACCEPTED)
    parser.deprecate(DEPRECATED)

    def flag(*names: str, **options: Any) -> None:
        parser.add_argument(*names, default=None, **options)

    flag("--config", type=Path, help="a KubeProxyConfiguration file; beside it most flags are ignored")
    flag("--kubeconfig", type=Path, help="how to reach the API server")
    flag("--hostname-override", dest="node_name", help="this node's name; the machine's when not given")
    flag("--proxy-mode", dest="mode", help="iptables or nftables")
    flag("--cluster-cidr", dest="cluster_cidrs", help="the pod network; one of each family, joined by a comma")
    flag("--healthz-bind-address", dest="healthz", help="address:port of /healthz and /livez; empty: not served")
    flag("--metrics-bind-address", dest="metrics", help="address:port of /metrics; empty: not served")
    flag("--healthz-port", type=int, help="0: not served")
    flag("--metrics-port", type=int, help="0: not served")
    flag("--iptables-sync-period", dest="sync_period", help="between looks at the kernel's rules in any case: 30s")
    flag("--iptables-min-sync-period", dest="min_sync_period", help="between two changes of the rules")
    flag("--iptables-masquerade-bit", dest="masquerade_bit", type=int, help="bit of the packet mark, 0 to 31")
    flag("--masquerade-all", type=boolean, nargs="?", const=True, help="masquerade all traffic to ClusterIPs")
    flag("--iptables-localhost-nodeports", dest="localhost_node_ports", type=boolean, nargs="?", const=True,
         help="let node ports answer on 127.0.0.1")  # fmt: skip
    flag("--nodeport-addresses", action=Joined, dest="node_port_addresses",
         help="subnets of the addresses node ports answer on; primary: the node's own")  # fmt: skip
    flag("--oom-score-adj", type=int, help="what makes the kernel end others first when memory is short: -999")
    flag("--detect-local-mode", help="how traffic of pods is known: ClusterCIDR, by the pod network")
    for name, option in OPTIONS.items():
        alone = {"nargs": "?", "const": True} if option.type is boolean else {}
        flag(option.flag, dest=_TRACKING + name, type=option.type, help=option.help, **alone)
    flag("--node-routes", type=boolean, nargs="?", const=True, help="keep routes to the other nodes' pods")
    flag("--pod-network", help="routes to other nodes' pods: auto (VXLAN to nodes of other segments), host-gw or vxlan")
    flag("--network-policies", type=boolean, nargs="?", const=True, help="enforce NetworkPolicies with nftables")
    flag("--cni-conf-dir", dest="cni_conf_dir", help="where to write the pod network's configuration; empty: nowhere")
    flag("--cni-data-dir", dest="cni_data_dir", help="where the CNI plugin keeps leases: /var/lib/cni/networks")
    flag("--cni-socket", dest="cni_socket", help="where to answer CNI plugins; empty: nowhere")
    flag("--announce-addresses", dest="announce",
         help="FIRST-LAST: addresses of load balancers that this node may answer for; one range of each family, "
              "joined by a comma")  # fmt: skip
    flag("--pod-mtu", dest="pod_mtu", type=int, help="MTU of pods in bytes; 0: that of the uplink")
    flag("--cleanup", type=boolean, nargs="?", const=True, help="remove every rule and route of ours, and exit")
    flag("--v", "-v", dest="verbosity", type=int, help="log verbosity")
    return parser


def _of_file(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says, by field of Config."""
    iptables, conntrack, connection = (
        document.get(section) or {} for section in (IPTABLES, "conntrack", "clientConnection")
    )
    of_mode = (document.get(NFTABLES) or {}) if document.get("mode") == NFTABLES else iptables
    read = {
        "node_name": document.get("hostnameOverride"),
        "kubeconfig": Path(connection["kubeconfig"]) if connection.get("kubeconfig") else None,
        "mode": document.get("mode"),
        "detect_local_mode": document.get("detectLocalMode"),
        "cluster_cidrs": document.get("clusterCIDR"),
        "healthz": document.get("healthzBindAddress"),
        "metrics": document.get("metricsBindAddress"),
        "node_port_addresses": document.get("nodePortAddresses"),
        "oom_score_adj": document.get("oomScoreAdj"),
        "sync_period": of_mode.get("syncPeriod"),
        "min_sync_period": of_mode.get("minSyncPeriod"),
        "masquerade_bit": of_mode.get("masqueradeBit"),
        "masquerade_all": of_mode.get("masqueradeAll"),
        "localhost_node_ports": iptables.get("localhostNodePorts"),
    }
    # An empty value in the file means the default, as upstream; a period of 0s as well.
    found = {key: value for key, value in read.items() if value not in (None, "", [], "0s")}
    return found | {_TRACKING + name: conntrack.get(option.key) for name, option in OPTIONS.items()}


def _checked(values: Mapping[str, Any], problems: Problems, *, of_file: bool) -> Config:
    given = dict(values)
    if "cluster_cidrs" in given:
        given["cluster_cidrs"] = config_rules.read_cluster_cidrs(given["cluster_cidrs"], problems)
    if "node_port_addresses" in given:
        said = given["node_port_addresses"]
        listed = said if isinstance(said, list) else list(filter(None, said.split(",")))  # a flag's are joined
        given["node_port_addresses"] = config_rules.read_node_port_addresses(listed, problems)
    for key, field_name, port in (("healthz", "HealthzBindAddress", 10256), ("metrics", "MetricsBindAddress", 10249)):
        if key in given:
            given[key] = config_rules.read_address(given[key], port, field_name, problems)
    for key, field_name in (("sync_period", "SyncPeriod"), ("min_sync_period", "MinSyncPeriod")):
        if key in given:
            given[key] = config_rules.read_period(given[key], field_name, problems, zero=key == "min_sync_period")
    if "pod_network" in given:
        given["pod_network"] = _mode(given["pod_network"], problems)
    if "announce" in given:
        given["announce"] = _ranges(str(given["announce"]), problems)
    for key in ("cni_conf_dir", "cni_socket"):
        if key in given:
            given[key] = Path(given[key]) if given[key] else None
    config_rules.check_local_mode(problems, given.pop("detect_local_mode", ""))
    of_tracking = {name: given.pop(_TRACKING + name, None) for name in OPTIONS}
    given["tracking"] = read_tracking(of_tracking, problems)
    if "node_name" in given:
        given["node_name"] = str(given["node_name"]).strip().lower()
    config = replace(Config(node_name=os.uname().nodename.strip().lower()), **given)
    if not _NODE_NAME.fullmatch(config.node_name):
        problems.add("hostnameOverride", f"{config.node_name!r} is no node name")
    config_rules.check_mode(problems, config.mode)
    if config.mode == NFTABLES and not config.node_port_addresses:
        config = replace(config, node_port_addresses=(PRIMARY,))
    config_rules.check_periods(problems, config.sync_period, config.min_sync_period)
    config_rules.check_range(problems, "KubeProxyLinuxConfiguration.OOMScoreAdj", config.oom_score_adj, -1000, 1000)
    of_mode = "KubeProxyNFTablesConfiguration" if config.mode == NFTABLES else "KubeProxyIPTablesConfiguration"
    config_rules.check_range(problems, f"{of_mode}.MasqueradeBit", config.masquerade_bit, 0, 31)
    if config.kubeconfig is None and not config.cleanup:
        why = (
            "the configuration file does not say it"
            if of_file
            else "neither --kubeconfig nor a configuration file says it"
        )
        problems.add("clientConnection.kubeconfig", why)
    if config.pod_mtu and not 576 <= config.pod_mtu <= 65535:
        problems.add("podMTU", f"must be 0 or within the range [576, 65535], not {config.pod_mtu}")
    if problems:
        raise ConfigError([f"failed validate: {aggregate(problems)}"])
    return config


def _mode(text: str, problems: Problems) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        problems.add("podNetwork", f"{text!r} is not supported; auto, host-gw and vxlan are")
        return Mode.AUTO


def _ranges(text: str, problems: Problems) -> tuple[AddressRange, ...]:
    """`FIRST-LAST`, of each family at most one, joined by a comma; none for the empty text."""
    found: list[AddressRange] = []
    for part in filter(None, text.split(",")):
        try:
            first, last = map(ipaddress.ip_address, part.split("-"))
        except ValueError:
            problems.add("--announce-addresses", f"{part!r} is not FIRST-LAST, addresses")
            continue
        if first.version != last.version or int(first) > int(last):
            problems.add("--announce-addresses", f"{part} ends before it begins")
        elif any(first.version == other[0].version for other in found):
            problems.add("--announce-addresses", f"{part} is the second of IPv{first.version}")
        found.append((first, last))
    return tuple(found)
