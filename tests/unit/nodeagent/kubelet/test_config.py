"""Flags and the configuration file; every problem at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.kubelet.config import load

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


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
    assert config.node_name == "node1"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        HEAD + "maxPods: many\nclusterDns: [x]\ncgroupDriver: systemd\nauthentication: {x508: {}}\nport: 99999\n"
    )
    with pytest.raises(ConfigError) as refused:
        load([f"--config={file}", "--node-ip=x", "--what", "--hostname-override=a_b", "--kubeconfig=/none"])
    told = "\n".join(refused.value.problems)
    for word in (
        "maxPods",
        'unknown field "clusterDns"',
        "systemd",
        "authentication.x508",
        "99999",
        "--node-ip",
        "unknown flag: --what",
        "a_b",
        "/none: no such file",
    ):
        assert word in told


def test_a_file_that_is_no_yaml_or_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: [")
    for path in (file, tmp_path / "none"):
        with pytest.raises(ConfigError):
            load([f"--config={path}"])
