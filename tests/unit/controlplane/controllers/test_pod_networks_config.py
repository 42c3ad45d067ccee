"""The flags that say where nodes get their pod subnets from."""

from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from controlplane.controllers.config import ControllersConfig, parse

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
        ("--cluster-cidr=fd00::/32", "64 does not fit into fd00::/32"),
        ("", "is needed by --allocate-node-cidrs"),
    ],
)
def test_refusals(kubeconfig: str, flags: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse([kubeconfig, "--allocate-node-cidrs", *flags.split()])
