"""--config-dir: what the files of a directory change, and what the flags after them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.kubelet.config import Config, load

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """flags, and the files of the directory by their names; `base` is the configuration file."""

    def found(*flags: str, base: str = "", **files: str) -> Config:
        (tmp_path / "base").write_text(HEAD + base)
        for name, text in files.items():
            path = tmp_path / "d" / name.replace("__", "/").replace("_conf", ".conf")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HEAD + text)
        return load([f"--config={tmp_path}/base", f"--config-dir={tmp_path}/d", *flags])

    return found


def test_the_last_file_wins_and_flags_over_it(read: Read) -> None:
    files = {"a10_conf": "port: 9090\n", "a20_conf": "port: 8080\nreadOnlyPort: 10255\n", "a30_yaml": "port: 1\n"}
    config = read(base="port: 9080\nreadOnlyPort: 10257\nmaxPods: 30\n", **files)
    assert (config.port, config.read_only_port, config.max_pods) == (8080, 10255, 30)
    assert read("--port=7070", **files).port == 7070


def test_folders_come_where_their_names_do(read: Read) -> None:
    config = read(a_conf="maxPods: 1\n", b__z_conf="maxPods: 2\nport: 2\n", c_conf="port: 3\n")
    assert (config.max_pods, config.port) == (2, 3)


def test_maps_are_merged_and_lists_replaced(read: Read) -> None:
    config = read(
        base="kubeReserved: {memory: 70Mi}\nclusterDNS: [192.0.2.1, 192.0.2.8]\n"
        "authentication: {x509: {clientCAFile: /a}}\n",
        a_conf="kubeReserved: {cpu: 200m}\nevictionHard: {memory.available: 200Mi}\nclusterDNS: [192.0.2.9]\n",
        b_conf="authentication: {anonymous: {enabled: true}}\nregisterWithTaints: [{key: a, effect: NoSchedule}]\n",
    )
    assert config.kube_reserved == {"memory": 70 << 20, "cpu": 200}
    assert config.eviction_hard["memory.available"] == "200Mi" and config.eviction_hard["nodefs.available"] == "10%"
    assert config.cluster_dns == ("192.0.2.9",)
    assert config.anonymous and config.client_ca_file == Path("/a")
    assert config.register_with_taints == ({"key": "a", "effect": "NoSchedule"},)


def test_what_is_nothing_is_the_default(read: Read) -> None:
    base = "maxPods: 30\nport: 9080\nreadOnlyPort: 10255\nresolvConf: /x\nsyncFrequency: 5s\n"
    config = read(base=base, a_conf="maxPods: 0\nport: null\nreadOnlyPort: 0\nresolvConf: ''\nsyncFrequency: 0s\n")
    assert (config.max_pods, config.port, config.read_only_port) == (110, 10250, 0)
    assert config.resolv_conf is None and config.sync_frequency == 60.0


def test_how_often_the_node_is_told_of_stays_as_the_file_says(read: Read) -> None:
    config = read(base="nodeStatusUpdateFrequency: 20s\n", a_conf="nodeStatusUpdateFrequency: 5s\n")
    assert (config.status_update, config.status_report) == (5.0, 20.0)


def test_flags_change_the_gates_that_they_name(read: Read) -> None:
    config = read(
        "--feature-gates=NodeSwap=false",
        "--feature-gates=UserNamespacesSupport=true",
        base="featureGates: {NodeSwap: true, ImageVolume: true}\n",
        a_conf="featureGates: {ImageVolume: false}\n",
    )
    assert config.document["featureGates"] == {"NodeSwap": False, "ImageVolume": False, "UserNamespacesSupport": True}


def test_lists_of_flags_add_up(read: Read) -> None:
    config = read("--node-labels=a=b", "--node-labels=c=d", "--cluster-dns=192.0.2.1", "--cluster-dns=192.0.2.2", a="")
    assert config.node_labels == {"a": "b", "c": "d"} and config.cluster_dns == ("192.0.2.1", "192.0.2.2")


def test_what_is_wrong(read: Read, tmp_path: Path) -> None:
    walk = f'failed to merge kubelet configs: failed to walk through kubelet dropin directory "{tmp_path}/d": '
    with pytest.raises(ConfigError) as refused:
        read()
    assert refused.value.problems == [f"{walk}lstat {tmp_path}/d: no such file or directory"]
    with pytest.raises(ConfigError) as refused:
        read(a_conf="kind: KubeletConfig\nmaxPods: many\n")
    kind, decoded = refused.value.problems
    assert kind.startswith(f"{walk}failed to load kubelet dropin file, path: {tmp_path}/d/a.conf, error: ")
    assert decoded.startswith("failed to merge kubelet configs: failed to unmarshal merged JSON")
    assert decoded.endswith("Go struct field KubeletConfiguration.maxPods of type int32")
