"""The kernel's settings of connection tracking, in files that stand for them."""

import os
from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.proxy.config import parse
from nodeagent.proxy.tracking import Tracking, set_up

KERNEL = {
    "nf_conntrack_max": 65536,
    "nf_conntrack_tcp_timeout_established": 432000,
    "nf_conntrack_tcp_timeout_close_wait": 60,
    "nf_conntrack_tcp_be_liberal": 0,
    "nf_conntrack_udp_timeout": 30,
    "nf_conntrack_udp_timeout_stream": 120,
}
NOTHING = Tracking(max_per_core=0, tcp_established=0, tcp_close_wait=0)


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    for name, value in KERNEL.items():
        tmp_path.joinpath(name).write_text(f"{value}\n")
    tmp_path.joinpath("hashsize").write_text("16384\n")
    return tmp_path


def held(sysctls: Path) -> dict[str, int]:
    return {name: int(sysctls.joinpath(name).read_text()) for name in KERNEL}


def test_the_defaults_are_upstreams(sysctls: Path) -> None:
    assert set_up(Tracking(), sysctls, sysctls / "hashsize") is False
    limit = max(32768 * (os.cpu_count() or 1), 131072)
    assert held(sysctls) == {
        **KERNEL,
        "nf_conntrack_max": limit,
        "nf_conntrack_tcp_timeout_established": 86400,
        "nf_conntrack_tcp_timeout_close_wait": 3600,
    }
    assert int(sysctls.joinpath("hashsize").read_text()) == limit // 4


@pytest.mark.parametrize(("per_core", "at_least", "limit"), [(10, 5, 40), (10, 50, 50), (0, 50, None), (1, 0, 4)])
def test_how_many_connections(per_core: int, at_least: int, limit: int | None) -> None:
    assert Tracking(max_per_core=per_core, at_least=at_least).sysctls(4).get("nf_conntrack_max") == limit


def test_a_large_table_keeps_its_buckets_and_zero_leaves_everything(sysctls: Path) -> None:
    sysctls.joinpath("hashsize").write_text("99999999")
    set_up(Tracking(), sysctls, sysctls / "hashsize")
    assert sysctls.joinpath("hashsize").read_text() == "99999999"
    before = held(sysctls)
    set_up(NOTHING, sysctls, sysctls / "hashsize")
    assert held(sysctls) == before


def test_liberal_is_what_the_kernel_is_whoever_made_it_so(sysctls: Path) -> None:
    assert set_up(Tracking(tcp_liberal=True), sysctls, sysctls / "hashsize") is True
    assert held(sysctls)["nf_conntrack_tcp_be_liberal"] == 1
    assert set_up(NOTHING, sysctls, sysctls / "hashsize") is True


def test_what_cannot_be_set_keeps_nothing_else_from_being_set(sysctls: Path) -> None:
    sysctls.joinpath("nf_conntrack_tcp_timeout_established").unlink()
    set_up(Tracking(), sysctls, sysctls / "hashsize")
    assert int(sysctls.joinpath("nf_conntrack_tcp_timeout_close_wait").read_text()) == 3600


FILE = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: /etc/kubernetes/proxy.conf}
conntrack: {maxPerCore: 0, min: null, tcpEstablishedTimeout: 0s, tcpBeLiberal: true, udpTimeout: 1m}
"""


def test_of_the_file_what_is_not_said_is_the_default_and_zero_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(FILE)
    config = parse(["--config", str(path)])
    assert config.tracking == Tracking(max_per_core=0, tcp_established=0, tcp_liberal=True, udp=60)


def test_every_problem_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse([
            "--kubeconfig=x", "--conntrack-max-per-core=-1", "--conntrack-min=-1", "--conntrack-udp-timeout=-1s",
            "--conntrack-udp-timeout-stream=soon",
        ])  # fmt: skip
    where = "KubeProxyConfiguration.KubeProxyLinuxConfiguration.KubeProxyConntrackConfiguration"
    negative = [
        f"{where}.{name}: Invalid value: {value}: must be greater than or equal to 0"
        for name, value in (("MaxPerCore", "-1"), ("Min", "-1"), ("UDPTimeout", "-1s"))
    ]
    told = ", ".join([*negative, "conntrack.udpStreamTimeout: 'soon' is no duration"])
    assert caught.value.problems == [f"failed validate: [{told}]"]
