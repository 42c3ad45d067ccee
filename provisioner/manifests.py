"""The control plane on a master: its daemons' arguments, and the static pods as kubeadm lays them out. Pure."""

from __future__ import annotations

import tomllib
from functools import cache

from provisioner.images.recipes import RECIPES
from provisioner.rendering import render
from provisioner.spec import Lab, Machine

_PKI = "/etc/kubernetes/pki"
#: What the one-process control plane shows to etcd, under the names that it looks for.
ETCD_CLIENT = f"{_PKI}/etcd-client"

#: The daemons of ours that run as static pods.
STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")

#: Folder or file on the master → the name of its volume.
_PKI_MOUNT = {"path": _PKI, "name": "k8s-certs", "type": "DirectoryOrCreate"}
_SRC_MOUNT = {"path": "/opt/kubelab/src", "name": "kubelab-src", "type": "Directory"}


@cache
def image(folder: str) -> str:
    """The reference of the container image built from ``images/oci/FOLDER``."""
    name: str = tomllib.loads((RECIPES / "oci" / folder / "image.toml").read_text())["name"]
    return name


def render_manifests(lab: Lab, machine: Machine, code: str) -> dict[str, str]:
    """``/etc/kubernetes/manifests``: file name → text. ``code``: digest of the control plane's code."""
    pods = {"etcd.yaml": render("etcd.yaml.j2", machine=machine, flags=etcd_flags(lab, machine), image=image("etcd"))}
    kubeconfigs = {
        "kube-controller-manager": "/etc/kubernetes/controller-manager.conf",
        "kube-scheduler": "/etc/kubernetes/scheduler.conf",
    }
    for component, port, cpu, flags in (
        ("kube-apiserver", 6443, "250m", apiserver_flags(lab, machine)),
        ("kube-controller-manager", 10257, "200m", controller_manager_flags(lab)),
        ("kube-scheduler", 10259, "100m", scheduler_flags()),
    ):
        mounts = [_SRC_MOUNT]
        if component != "kube-scheduler":
            mounts.insert(0, _PKI_MOUNT)
        if kubeconfig := kubeconfigs.get(component):
            mounts.append({"path": kubeconfig, "name": "kubeconfig", "type": "FileOrCreate"})
        pods[f"{component}.yaml"] = render(
            "component.yaml.j2",
            component=component,
            machine=machine,
            code=code,
            flags=flags,
            image=image("control-plane"),
            port=port,
            cpu=cpu,
            probe_host=machine.ip if component == "kube-apiserver" else "127.0.0.1",
            mounts=mounts,
        )
    return pods


def etcd_flags(lab: Lab, machine: Machine) -> list[str]:
    """etcd's arguments on a master: TLS to clients and peers, plain HTTP only for health and metrics on loopback."""
    members = ",".join(f"{each.name}=https://{each.ip}:2380" for each in lab.machines if each.is_master)
    return [
        f"--advertise-client-urls=https://{machine.ip}:2379",
        f"--cert-file={_PKI}/etcd/server.crt",
        "--client-cert-auth=true",
        "--data-dir=/var/lib/etcd",
        "--experimental-initial-corrupt-check=true",
        "--experimental-watch-progress-notify-interval=5s",
        f"--initial-advertise-peer-urls=https://{machine.ip}:2380",
        f"--initial-cluster={members}",
        f"--key-file={_PKI}/etcd/server.key",
        f"--listen-client-urls=https://127.0.0.1:2379,https://{machine.ip}:2379",
        "--listen-metrics-urls=http://127.0.0.1:2381",
        f"--listen-peer-urls=https://{machine.ip}:2380",
        f"--name={machine.name}",
        f"--peer-cert-file={_PKI}/etcd/peer.crt",
        "--peer-client-cert-auth=true",
        f"--peer-key-file={_PKI}/etcd/peer.key",
        f"--peer-trusted-ca-file={_PKI}/etcd/ca.crt",
        "--snapshot-count=10000",
        f"--trusted-ca-file={_PKI}/etcd/ca.crt",
    ]


def apiserver_flags(lab: Lab, machine: Machine) -> list[str]:
    return [
        f"--advertise-address={machine.ip}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        f"--client-ca-file={_PKI}/ca.crt",
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth=true",
        f"--etcd-cafile={_PKI}/etcd/ca.crt",
        f"--etcd-certfile={_PKI}/apiserver-etcd-client.crt",
        f"--etcd-keyfile={_PKI}/apiserver-etcd-client.key",
        "--etcd-servers=https://127.0.0.1:2379",
        f"--kubelet-client-certificate={_PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={_PKI}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        f"--proxy-client-cert-file={_PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={_PKI}/front-proxy-client.key",
        "--requestheader-allowed-names=front-proxy-client",
        f"--requestheader-client-ca-file={_PKI}/front-proxy-ca.crt",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        "--secure-port=6443",
        f"--service-account-issuer=https://kubernetes.default.svc.{lab.dns_domain}",
        f"--service-account-key-file={_PKI}/sa.pub",
        f"--service-account-signing-key-file={_PKI}/sa.key",
        f"--service-cluster-ip-range={lab.service_cidrs}",
        f"--tls-cert-file={_PKI}/apiserver.crt",
        f"--tls-private-key-file={_PKI}/apiserver.key",
    ]


def controller_manager_flags(lab: Lab) -> list[str]:
    conf = "/etc/kubernetes/controller-manager.conf"
    return [
        "--allocate-node-cidrs=true",
        f"--authentication-kubeconfig={conf}",
        f"--authorization-kubeconfig={conf}",
        "--bind-address=127.0.0.1",
        f"--client-ca-file={_PKI}/ca.crt",
        f"--cluster-cidr={lab.pod_cidrs}",
        "--cluster-name=kubernetes",
        f"--cluster-signing-cert-file={_PKI}/ca.crt",
        f"--cluster-signing-key-file={_PKI}/ca.key",
        "--controllers=*,bootstrapsigner,tokencleaner",
        f"--kubeconfig={conf}",
        "--leader-elect=true",
        f"--requestheader-client-ca-file={_PKI}/front-proxy-ca.crt",
        f"--root-ca-file={_PKI}/ca.crt",
        f"--service-account-private-key-file={_PKI}/sa.key",
        f"--service-cluster-ip-range={lab.service_cidrs}",
        "--use-service-account-credentials=true",
    ]


def scheduler_flags() -> list[str]:
    conf = "/etc/kubernetes/scheduler.conf"
    return [
        f"--authentication-kubeconfig={conf}",
        f"--authorization-kubeconfig={conf}",
        "--bind-address=127.0.0.1",
        f"--kubeconfig={conf}",
        "--leader-elect=true",
    ]


def control_plane_flags(lab: Lab, machine: Machine) -> list[str]:
    """Arguments of the one process that is the whole control plane (``controlPlane: service``)."""
    return [
        # It finds its certificates and kubeconfigs there under kubeadm's names, as the separate daemons do.
        "--data-dir=/etc/kubernetes",
        "--store=https://127.0.0.1:2379",
        f"--etcd-pki={ETCD_CLIENT}",
        f"--listen={machine.ip}:6443",
        f"--advertise-address={machine.ip}",
        f"--cluster-cidr={lab.pod_cidrs}",
        f"--service-cidr={lab.service_cidrs}",
        f"--dns-domain={lab.dns_domain}",
    ]
