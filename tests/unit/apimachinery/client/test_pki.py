from pathlib import Path

import pytest
from cryptography import x509

from apimachinery.client.config import load_kubeconfig
from apimachinery.client.pki import Cluster, ensure_cluster_pki, ensure_kubelet_serving
from apimachinery.kit.config import ConfigError

CLUSTER = Cluster(endpoint="https://10.1.0.10:6443", masters={"master-1": "10.1.0.10"}, nodes=["master-1", "worker-1"])


def _subject(path: Path) -> tuple[str, list[str]]:
    subject = x509.load_pem_x509_certificate(path.read_bytes()).subject
    orgs = [str(part.value) for part in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]
    return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value), orgs


def test_kubeadms_files_and_subjects(tmp_path: Path) -> None:
    ensure_cluster_pki(tmp_path, CLUSTER)
    assert sorted(str(path.relative_to(tmp_path / "pki")) for path in (tmp_path / "pki").rglob("*.*")) == [
        "apiserver-etcd-client.crt",
        "apiserver-etcd-client.key",
        "apiserver-kubelet-client.crt",
        "apiserver-kubelet-client.key",
        "apiserver.crt",
        "apiserver.key",
        "ca.crt",
        "ca.key",
        "etcd/ca.crt",
        "etcd/ca.key",
        "etcd/healthcheck-client.crt",
        "etcd/healthcheck-client.key",
        "etcd/peer.crt",
        "etcd/peer.key",
        "etcd/server.crt",
        "etcd/server.key",
        "front-proxy-ca.crt",
        "front-proxy-ca.key",
        "front-proxy-client.crt",
        "front-proxy-client.key",
        "sa.key",
        "sa.pub",
    ]
    assert _subject(tmp_path / "pki/apiserver-kubelet-client.crt") == (
        "kube-apiserver-kubelet-client",
        ["kubeadm:cluster-admins"],
    )
    assert load_kubeconfig(tmp_path / "kubelet-worker-1.conf").server == "https://10.1.0.10:6443"
    assert (tmp_path / "admin.conf").stat().st_mode & 0o777 == 0o600


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    ensure_cluster_pki(tmp_path, CLUSTER)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ensure_cluster_pki(tmp_path, CLUSTER)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_new_name_renews_the_serving_certificate_alone(tmp_path: Path) -> None:
    ensure_cluster_pki(tmp_path, CLUSTER)
    ca, serving = (tmp_path / "pki/ca.crt").read_bytes(), (tmp_path / "pki/apiserver.crt").read_bytes()
    ensure_cluster_pki(tmp_path, Cluster(endpoint=CLUSTER.endpoint, masters=CLUSTER.masters, api_names=["lab.test"]))
    assert (tmp_path / "pki/ca.crt").read_bytes() == ca
    assert (tmp_path / "pki/apiserver.crt").read_bytes() != serving


def test_kubelet_serving_certificate(tmp_path: Path) -> None:
    ensure_cluster_pki(tmp_path, CLUSTER)
    cert, _ = ensure_kubelet_serving(tmp_path, "worker-1", ["10.1.0.11"])
    assert _subject(cert) == ("system:node:worker-1", ["system:nodes"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[", 'error loading config file ".*": yaml: line 1: did not', id="not YAML"),
        pytest.param("a", "not a kubeconfig", id="not a mapping"),
        pytest.param("current-context: x", "there is no context 'x'", id="no context"),
        pytest.param(
            "{current-context: x, contexts: [{name: x, context: {cluster: c}}]}",
            "there is no cluster 'c'",
            id="no cluster",
        ),
    ],
)
def test_a_bad_kubeconfig_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_kubeconfig(path)


def test_an_absent_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^stat .*none: no such file or directory$"):
        load_kubeconfig(tmp_path / "none")
