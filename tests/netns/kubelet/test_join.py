"""A node joins with a bootstrap token; its certificates are renewed under it."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.netns.kubelet.agent import Kubelet, eventually
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine

TOKEN = ("abcdef", "0123456789abcdef")
# Issued five minutes in the past, so this much more is left; renewal is due from a few seconds on.
LIFE = 345


@pytest.fixture(scope="module")
def cluster_flags() -> tuple[str, ...]:
    return (f"--cluster-signing-duration={LIFE}s",)


@pytest.fixture(scope="module", autouse=True)
def _token(cluster: Cluster) -> None:
    secret = {
        "token-id": TOKEN[0],
        "token-secret": TOKEN[1],
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
    }
    metadata = {"name": f"bootstrap-token-{TOKEN[0]}", "namespace": "kube-system"}
    secret_type = "bootstrap.kubernetes.io/token"
    cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret_type, "stringData": secret}
    )


def bootstrap_kubeconfig(cluster: Cluster, token: str) -> Path:
    """What `kubeadm join` writes."""
    path = cluster.machine.dir / "bootstrap-kubelet.conf"
    authority = base64.b64encode((cluster.dir / "pki" / "ca.crt").read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "kubernetes", "cluster": {"server": cluster.server, "certificate-authority-data": authority}}
        ],
        "contexts": [{"name": "tls", "context": {"cluster": "kubernetes", "user": "tls-bootstrap-token-user"}}],
        "current-context": "tls",
        "users": [{"name": "tls-bootstrap-token-user", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def ready(cluster: Cluster, name: str) -> bool:
    node = json.loads(cluster.kubectl("get", "node", name, "-o=json"))
    condition = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
    return str(condition["status"]) == "True"


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def requests(cluster: Cluster, signer: str) -> list[dict[str, Any]]:
    listed = json.loads(cluster.kubectl("get", "certificatesigningrequests", "-o=json"))["items"]
    return [each for each in listed if each["spec"]["signerName"] == f"kubernetes.io/{signer}"]


def test_a_wrong_token_ends_the_kubelet_with_the_reason(cluster: Cluster, machine: Machine) -> None:
    bootstrap = bootstrap_kubeconfig(cluster, "abcdef.ffffffffffffffff")
    kubelet = Kubelet(machine, "refused", machine.dir / "refused.conf", bootstrap=bootstrap)
    kubelet.start(0)
    assert kubelet.ended() == 1
    log = kubelet.output.read_text()
    assert "failed to run Kubelet: cannot create certificate signing request: Unauthorized" in log
    kubelet.output.unlink()


def test_a_node_joins_and_its_certificates_are_renewed(cluster: Cluster, machine: Machine) -> None:
    bootstrap = bootstrap_kubeconfig(cluster, ".".join(TOKEN))
    kubeconfig = machine.dir / "kubelet.conf"
    kubelet = Kubelet(
        machine,
        "joined",
        kubeconfig,
        bootstrap=bootstrap,
        rotateCertificates=True,
        serverTLSBootstrap=True,
        authentication={"x509": {"clientCAFile": str(cluster.dir / "pki" / "ca.crt")}},
    )
    kubelet.trust(*cluster.admin_certificate())
    pki = machine.dir / "kubelet" / "pki"
    try:
        kubelet.start(0)
        eventually(lambda: ready(cluster, "joined"), "the node")
        user = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]
        current = pki / "kubelet-client-current.pem"
        assert user == {"client-certificate": str(current), "client-key": str(current)}
        first = certificate(current)
        assert first.subject.rfc4514_string() == "CN=system:node:joined,O=system:nodes"
        (csr,) = (
            each
            for each in requests(cluster, "kube-apiserver-client-kubelet")
            if "bootstrap" in each["spec"]["username"]
        )
        assert csr["spec"]["username"] == f"system:bootstrap:{TOKEN[0]}"
        assert csr["status"]["conditions"][0]["reason"] == "AutoApproved"

        # A serving certificate is nobody's to approve but a person's.
        pending = eventually(lambda: requests(cluster, "kubelet-serving"), "the serving request")
        assert "conditions" not in pending[0].get("status", {})
        with pytest.raises((ssl.SSLError, OSError)):
            kubelet.get("/healthz")
        cluster.kubectl("certificate", "approve", pending[0]["metadata"]["name"])
        eventually(lambda: kubelet.get("/healthz") == b"ok", "the server with its certificate")
        shown = certificate(pki / "kubelet-server-current.pem")
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["joined"]
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [machine.node_ip]

        # Renewed, by the node itself, before the first one ends; and what is shown then is the new one.
        eventually(lambda: certificate(current).serial_number != first.serial_number, "the renewal")
        again = requests(cluster, "kube-apiserver-client-kubelet")
        assert {"system:node:joined"} <= {each["spec"]["username"] for each in again}
        left = (first.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).total_seconds()
        time.sleep(max(0.0, left + 1))
        cluster.stop()
        cluster.start()
        stamp = renewed(cluster)
        eventually(lambda: renewed(cluster) != stamp, "a heartbeat with a certificate that holds")
        eventually(lambda: ready(cluster, "joined"), "the node")
        assert len(list(pki.glob("kubelet-client-2*.pem"))) >= 2
    finally:
        kubelet.stop()
        print(kubelet.output.read_text())


def renewed(cluster: Cluster) -> str:
    return cluster.kubectl("-n", "kube-node-lease", "get", "lease", "joined", "-o=jsonpath={.spec.renewTime}")
