"""Flags and file."""

import logging
from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.proxy.config import parse
from nodeagent.proxy.main import main, tell

FILE = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: /etc/kubernetes/proxy.conf}
clusterCIDR: 10.244.0.0/16,fd00::/56
hostnameOverride: node-7
metricsBindAddress: ""
mode: ""
iptables: {masqueradeBit: 13, minSyncPeriod: 1s, syncPeriod: 0s, localhostNodePorts: false}
nodePortAddresses: ["192.0.2.0/24"]
oomScoreAdj: -500
"""


def test_file_and_flags(tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(FILE)
    config = parse(["--config", str(path), "--hostname-override=node-8", "--pod-mtu=1400", "-v=2"])
    assert (config.pod_mtu, config.verbosity) == (1400, 2)
    assert (config.node_name, config.kubeconfig) == ("node-8", Path("/etc/kubernetes/proxy.conf"))
    assert config.cluster_cidrs == ("10.244.0.0/16", "fd00::/56") and config.families == (4, 6)
    assert (config.masquerade_bit, config.min_sync_period, config.sync_period) == (13, 1.0, 30.0)
    assert config.localhost_node_ports is False and not config.serves_localhost
    assert config.metrics == ("127.0.0.1", 10249) and config.healthz == ("0.0.0.0", 10256)
    assert config.node_port_addresses == ("192.0.2.0/24",) and config.oom_score_adj == -500


def test_flags_beside_a_file_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(FILE)
    ignored = [
        "--kubeconfig=/other", "--proxy-mode=nftables", "--cluster-cidr=10.9.0.0/16", "--masquerade-all",
        "--healthz-bind-address=127.0.0.1:1", "--metrics-bind-address=127.0.0.1:2", "--iptables-sync-period=5s",
        "--iptables-min-sync-period=2s", "--iptables-masquerade-bit=3", "--nodeport-addresses=primary",
        "--oom-score-adj=1", "--conntrack-min=7", "--iptables-localhost-nodeports", "--detect-local-mode=NodeCIDR",
    ]  # fmt: skip
    assert parse([f"--config={path}", *ignored]) == parse([f"--config={path}"])
    (without := tmp_path / "without").write_text(FILE.replace("clientConnection", "# "))
    with pytest.raises(ConfigError, match=r"clientConnection\.kubeconfig: the configuration file does not say it"):
        parse([f"--config={without}", "--kubeconfig=/other"])


def test_upstreams_flags_start_ours() -> None:
    config = parse([
        "--kubeconfig=/proxy.conf", "--hostname-override=a", "--bind-address=0.0.0.0", "--bind-address-hard-fail",
        "--config-sync-period=15m", "--feature-gates=NFTablesProxyMode=true", "--ipvs-strict-arp=true",
        "--ipvs-scheduler=rr", "--kube-api-burst=10", "--kube-api-qps=5", "--profiling=false", "--cleanup=false",
        "--logging-format=json", "--vmodule=a=1", "-v=3",
    ])  # fmt: skip
    assert config.verbosity == 3 and not config.cleanup


@pytest.mark.parametrize(("mode", "unset"), [("iptables", True), ("nftables", False)])
def test_the_log_says_which_mode_it_is(caplog: pytest.LogCaptureFixture, mode: str, unset: bool) -> None:
    caplog.set_level(logging.INFO)
    tell(parse(["--kubeconfig=/proxy.conf", "--hostname-override=a", f"--proxy-mode={mode}"]))
    why = (
        '"Kube-proxy configuration may be incomplete or incorrect" err="nodePortAddresses is unset; NodePort '
        'connections will be accepted on all local IPs. Consider using `--nodeport-addresses primary`"'
    )
    assert caplog.messages == [why] * unset + [f'"Using {mode} Proxier"']


def test_old_flags_of_ports(capsys: pytest.CaptureFixture[str]) -> None:
    config = parse(["--kubeconfig=/proxy.conf", "--hostname-override=a", "--healthz-port=1", "--metrics-port=0"])
    assert (config.healthz, config.metrics) == (("0.0.0.0", 10256), None)
    assert capsys.readouterr().err == "".join(
        f"Flag --{what}-port has been deprecated, This flag is deprecated and will be removed in a future release. "
        f"Please use --{what}-bind-address instead.\n"
        for what in ("healthz", "metrics")
    )


def test_every_problem_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse([
            "--hostname-override=Node_1", "--proxy-mode=ipvs", "--cluster-cidr=10.0.0.0/33",
            "--iptables-masquerade-bit=32", "--iptables-sync-period=soon", "--metrics-bind-address=nowhere:x",
            "--pod-network=ipip",
        ])  # fmt: skip
    text = "\n".join(caught.value.problems)
    for words in ("node_1", "ipvs", "10.0.0.0/33", "range [0, 31]", "soon", "nowhere", "kubeconfig", "ipip"):
        assert words in text


HEAD = (
    "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection: {kubeconfig: /k}\n"
)
_SCHEME = 'in scheme "pkg/proxy/apis/config/scheme/scheme.go:30"'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HEAD + "iptables: {masqueradeBit: many}",
            "failed to decode: json: cannot unmarshal string into Go struct field "
            "KubeProxyIPTablesConfiguration.iptables.masqueradeBit of type int32",
        ),
        (
            HEAD + "iptables: [1]",
            "failed to decode: json: cannot unmarshal array into Go struct field "
            "KubeProxyConfiguration.iptables of type v1alpha1.KubeProxyIPTablesConfiguration",
        ),
        (
            HEAD + "clusterCIDR: 5",
            "failed to decode: json: cannot unmarshal number into Go struct field "
            "KubeProxyConfiguration.clusterCIDR of type string",
        ),
        (
            HEAD.replace("v1alpha1", "v1"),
            'failed to decode: no kind "KubeProxyConfiguration" is registered for version "kubeproxy.config.k8s.io/v1" '
            + _SCHEME,
        ),
        (
            "kind: KubeProxyConfiguration",
            "failed to decode: Object 'apiVersion' is missing in 'kind: KubeProxyConfiguration'",
        ),
        (HEAD + "mode: : y", "failed to decode: yaml: line 4: mapping values are not allowed in this context"),
    ],
)
def test_a_file_that_cannot_be_decoded(tmp_path: Path, text: str, problem: str) -> None:
    (file := tmp_path / "config.conf").write_text(text)
    with pytest.raises(ConfigError) as caught:
        parse([f"--config={file}"])
    assert caught.value.problems == [f"failed complete: {problem}"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([f"--config={tmp_path}/none"])
    assert caught.value.problems == [f"failed complete: open {tmp_path}/none: no such file or directory"]


def test_what_only_strict_decoding_minds(tmp_path: Path) -> None:
    (file := tmp_path / "config.conf").write_text(HEAD + "foo: 1\niptables: {bar: 2}\nmode: iptables\nmode: nftables\n")
    config = parse([f"--config={file}"])
    assert config.mode == "nftables"
    assert config.lenient == (
        'strict decoding error: yaml: unmarshal errors:\n  line 7: key "mode" already set in map, '
        'unknown field "foo", unknown field "iptables.bar"'
    )


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            ["--cluster-cidr=10.0.0.0/8,10.244.0.0/16"],
            'DetectLocalConfiguration.ClusterCIDRs: Invalid value: []string{"10.0.0.0/8", "10.244.0.0/16"}: must be a '
            "either a single CIDR or dual-stack pair of CIDRs (e.g. [10.100.0.0/16, fde4:8dba:82e1::/48]",
        ),
        (
            ["--cluster-cidr=10.244.0.0"],
            'DetectLocalConfiguration.ClusterCIDRs[0]: Invalid value: "10.244.0.0": must be a valid CIDR block '
            "(e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)",
        ),
        (
            ["--iptables-min-sync-period=31s"],
            "SyncPeriod: Invalid value: 31s: must be greater than or equal to KubeProxyConfiguration.MinSyncPeriod",
        ),
        (
            ["--iptables-sync-period=0s", "--iptables-min-sync-period=0s"],
            "SyncPeriod: Invalid value: 0s: must be greater than 0",
        ),
        (
            ["--oom-score-adj=-1001"],
            "KubeProxyLinuxConfiguration.OOMScoreAdj: Invalid value: -1001: must be within the range [-1000, 1000]",
        ),
        (
            ["--iptables-masquerade-bit=44"],
            "KubeProxyIPTablesConfiguration.MasqueradeBit: Invalid value: 44: must be within the range [0, 31]",
        ),
        (
            ["--proxy-mode=ebpf"],
            'Mode.ProxyMode: Invalid value: "ebpf": must be iptables, ipvs, nftables or blank (blank means the '
            "best-available proxy [currently iptables])",
        ),
        (["--metrics-bind-address=0.0.0.0:99999"], 'MetricsBindAddress: Invalid value: "99999": must be a valid port'),
        (["--metrics-bind-address=nowhere"], 'MetricsBindAddress: Invalid value: "nowhere": must be IP:port'),
        (["--healthz-bind-address=nowhere:1"], 'HealthzBindAddress: Invalid value: "nowhere": must be a valid IP'),
        (["--nodeport-addresses=192.0.2.1"], 'NodePortAddresses[0]: Invalid value: "192.0.2.1": must be a valid CIDR'),
        (
            ["--nodeport-addresses=192.0.2.0/24,primary"],
            "NodePortAddresses[1]: Invalid value: \"primary\": can't use both 'primary' and CIDRs",
        ),
        (
            ["--detect-local-mode=Magic"],
            'DetectLocalMode: Unsupported value: "Magic": supported values: "ClusterCIDR", "NodeCIDR", '
            '"BridgeInterface", "InterfaceNamePrefix", ""',
        ),
    ],
)
def test_what_upstream_refuses_is_refused(flags: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--kubeconfig=x", *flags])
    assert caught.value.problems == [f"failed validate: KubeProxyConfiguration.{problem}"]


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--proxy-mode=ipvs", "mode: 'ipvs' is not supported; iptables and nftables are"),
        ("--detect-local-mode=NodeCIDR", "detectLocalMode: 'NodeCIDR' is not supported; ClusterCIDR is"),
    ],
)
def test_what_is_not_there(flag: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--kubeconfig=x", flag])
    assert caught.value.problems == [f"failed validate: {problem}"]


def test_what_is_wrong_is_one_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--kubeconfig=x", "--oom-score-adj=5000", "--iptables-masquerade-bit=99"])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1 and len(lines) == 1
    assert '] "command failed" err="failed validate: [KubeProxyConfiguration.KubeProxyLinux' in lines[0]


def test_a_nodes_name_is_in_small_letters() -> None:
    assert parse(["--kubeconfig=x", "--hostname-override= Node-1 "]).node_name == "node-1"


@pytest.mark.parametrize(
    ("text", "address"),
    [("", None), ("0.0.0.0", ("0.0.0.0", 10256)), ("[::1]:7", ("::1", 7)), ("::", ("::", 10256))],
)
def test_addresses(text: str, address: tuple[str, int] | None) -> None:
    assert parse(["--kubeconfig=x", f"--healthz-bind-address={text}"]).healthz == address


def test_nftables_mode(tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(
        FILE.replace('mode: ""', "mode: nftables\nnftables: {masqueradeBit: 9, minSyncPeriod: 2s, masqueradeAll: true}")
    )
    config = parse(["--config", str(path)])
    assert (config.mode, config.masquerade_bit, config.min_sync_period) == ("nftables", 9, 2.0)
    assert config.masquerade_all is True


@pytest.mark.parametrize(
    ("flags", "addresses"),
    [
        (["--proxy-mode=nftables"], ("primary",)),
        (["--proxy-mode=nftables", "--nodeport-addresses=192.0.2.0/24"], ("192.0.2.0/24",)),
        (["--proxy-mode=iptables"], ()),
        (["--proxy-mode=iptables", "--nodeport-addresses=primary"], ("primary",)),
    ],
)
def test_node_ports_answer_on_the_nodes_own_address_in_nftables_mode(
    flags: list[str], addresses: tuple[str, ...]
) -> None:
    assert parse(["--kubeconfig=x", *flags]).node_port_addresses == addresses


@pytest.mark.parametrize(
    ("flags", "served"),
    [
        ([], True),
        (["--nodeport-addresses=192.0.2.0/24"], False),
        (["--nodeport-addresses=192.0.2.0/24,127.0.0.1/32"], True),
        (["--nodeport-addresses=0.0.0.0/0"], True),
        (["--nodeport-addresses=2001:db8::/64"], True),
        (["--nodeport-addresses=primary"], False),
        (["--iptables-localhost-nodeports=false"], False),
        (["--proxy-mode=nftables", "--nodeport-addresses=127.0.0.0/8"], False),
        (["--cluster-cidr=fd00::/56"], False),
    ],
)
def test_localhost_is_opened_only_where_node_ports_are_to_answer_on_it(flags: list[str], served: bool) -> None:
    """What opens it, the sysctl route_localnet, is a danger of its own."""
    assert parse(["--kubeconfig=x", *flags]).serves_localhost is served
