"""The certificates and kubeconfig files of a cluster, under the names that kubeadm gives them.

https://kubernetes.io/docs/setup/best-practices/certificates/ lists files, subjects and usages.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from apimachinery.kit import certs
from apimachinery.kit.certs import Authority, KeyPair
from apimachinery.kit.files import write_atomic

from .config import render_kubeconfig


@dataclass(frozen=True, slots=True)
class Cluster:
    """What certificates must say about a cluster.

    endpoint: the API server's URL as nodes and people dial it. api_names, api_ips: every name and address it may be
    dialled by, besides the service names and `service_ip`. masters: name → address, for etcd. nodes: the kubelets.
    """

    endpoint: str
    api_names: Sequence[str] = ()
    api_ips: Sequence[str] = ("127.0.0.1",)
    service_ip: str = "10.96.0.1"
    dns_domain: str = "cluster.local"
    masters: dict[str, str] = field(default_factory=dict)
    nodes: Sequence[str] = ()
    # What the components on a master dial: the server beside them, so that they need no other machine.
    local_endpoint: str = ""


def ensure_cluster_pki(directory: Path, cluster: Cluster) -> None:
    """Make what is missing under `directory`: `pki/` and the `*.conf` files. What is there and fits is kept.

    A server certificate that lacks one of the names it should have is issued again; authorities and sa.key are never
    replaced: everything that was signed by them would stop being trusted.
    """
    pki = directory / "pki"
    ca = _authority(pki / "ca", "kubernetes")
    front_proxy = _authority(pki / "front-proxy-ca", "front-proxy-ca")
    etcd = _authority(pki / "etcd/ca", "etcd-ca")
    if not (pki / "sa.key").exists():
        key = certs.new_key()
        write_atomic(pki / "sa.key", certs.key_pem(key), 0o600)
        write_atomic(pki / "sa.pub", certs.public_pem(key))

    domain = cluster.dns_domain
    service_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}"]
    names = [*service_names, *cluster.api_names, *cluster.masters]
    ips = [cluster.service_ip, *cluster.api_ips, *cluster.masters.values()]
    _leaf(pki / "apiserver", ca, "kube-apiserver", dns=names, ips=ips, server=True)
    _leaf(pki / "apiserver-kubelet-client", ca, "kube-apiserver-kubelet-client", orgs=["kubeadm:cluster-admins"])
    _leaf(pki / "front-proxy-client", front_proxy, "front-proxy-client")
    etcd_names, etcd_ips = ["localhost", *cluster.masters], ["127.0.0.1", "::1", *cluster.masters.values()]
    _leaf(pki / "etcd/server", etcd, "etcd-server", dns=etcd_names, ips=etcd_ips, server=True, client=True)
    _leaf(pki / "etcd/peer", etcd, "etcd-peer", dns=etcd_names, ips=etcd_ips, server=True, client=True)
    _leaf(pki / "etcd/healthcheck-client", etcd, "kube-etcd-healthcheck-client")
    _leaf(pki / "apiserver-etcd-client", etcd, "kube-apiserver-etcd-client")

    local = cluster.local_endpoint or cluster.endpoint
    _kubeconfig(directory / "admin.conf", ca, cluster.endpoint, "kubernetes-admin", ["kubeadm:cluster-admins"])
    _kubeconfig(directory / "super-admin.conf", ca, cluster.endpoint, "kubernetes-super-admin", ["system:masters"])
    _kubeconfig(directory / "controller-manager.conf", ca, local, "system:kube-controller-manager")
    _kubeconfig(directory / "scheduler.conf", ca, local, "system:kube-scheduler")
    _kubeconfig(directory / "kube-proxy.conf", ca, cluster.endpoint, "system:kube-proxy", ["system:node-proxier"])
    for node in cluster.nodes:
        server = local if node in cluster.masters else cluster.endpoint
        _kubeconfig(directory / f"kubelet-{node}.conf", ca, server, f"system:node:{node}", ["system:nodes"])


def ensure_kubelet_serving(directory: Path, node: str, ips: Sequence[str]) -> tuple[Path, Path]:
    """The kubelet's serving certificate, signed by the cluster's authority: (certificate, key)."""
    base = directory / "pki" / f"kubelet-{node}"
    ca = Authority.load(directory / "pki/ca.crt", directory / "pki/ca.key")
    _leaf(base, ca, f"system:node:{node}", orgs=["system:nodes"], dns=[node], ips=ips, server=True, client=False)
    return _crt(base), _key(base)


def ensure_user_conf(path: Path, directory: Path, server: str, user: str) -> None:
    """A kubeconfig for one more user of the cluster whose certificates are under `directory`."""
    _kubeconfig(path, Authority.load(directory / "pki/ca.crt", directory / "pki/ca.key"), server, user)


def _authority(base: Path, cn: str) -> Authority:
    if _crt(base).exists() and _key(base).exists():
        return Authority.load(_crt(base), _key(base))
    authority = Authority.create(cn)
    _write(base, authority.pair)
    return authority


def _leaf(
    base: Path,
    authority: Authority,
    cn: str,
    *,
    orgs: Sequence[str] = (),
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
    server: bool = False,
    client: bool | None = None,
) -> None:
    if _crt(base).exists() and _key(base).exists() and _covers(_crt(base), dns, ips):
        return
    client = not server if client is None else client
    _write(base, authority.issue(cn, orgs=orgs, dns=dns, ips=ips, server=server, client=client))


def _covers(path: Path, dns: Sequence[str], ips: Sequence[str]) -> bool:
    cert = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not dns and not ips
    held = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return (
        set(dns) <= set(names.get_values_for_type(x509.DNSName))
        and {str(ipaddress.ip_address(ip)) for ip in ips} <= held
    )


def _kubeconfig(path: Path, ca: Authority, server: str, user: str, orgs: Sequence[str] = ()) -> None:
    if path.exists() and f"server: {server}\n" in path.read_text():
        return
    pair = ca.issue(user, orgs=orgs, client=True)
    text = render_kubeconfig(
        server=server, ca_data=ca.pair.cert_pem, user=user, cert_data=pair.cert_pem, key_data=pair.key_pem
    )
    write_atomic(path, text, 0o600)


def _write(base: Path, pair: KeyPair) -> None:
    # The key first: a certificate whose key is missing would be taken for whole by a reader in between.
    write_atomic(_key(base), pair.key_pem, 0o600)
    write_atomic(_crt(base), pair.cert_pem)


# Not Path.with_suffix: the name of a machine may hold a dot.
def _crt(base: Path) -> Path:
    return base.parent / f"{base.name}.crt"


def _key(base: Path) -> Path:
    return base.parent / f"{base.name}.key"
