"""Every file that the provisioner puts on a machine besides our code. Reads the lab's keys; otherwise pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import manifests
from provisioner.digests import CONTROL_PLANE, NODE_AGENT
from provisioner.drivers.base import Local
from provisioner.images.seed import render_hosts
from provisioner.rendering import render
from provisioner.shell import File
from provisioner.spec import ControlPlane, Lab, Machine

VENV_PYTHON = "/opt/kubelab/venv/bin/python"
CNI_CLIENT = "/opt/cni/bin/kubelab-cni"
SYSTEMD = "/etc/systemd/system"

_LAUNCHERS = {
    "kubelet": "nodeagent.kubelet",
    "kube-proxy": "nodeagent.kube_proxy",
    "kube-apiserver": "controlplane.apiserver",
    "kube-controller-manager": "controlplane.controllers",
    "kube-scheduler": "controlplane.scheduler",
    "kubelab-control-plane": "controlplane",
}
#: CNI executable → module with its PLUGIN (nodeagent.cni.install has the same list for other uses).
_CNI = {
    "kubelab-bridge": "bridge",
    "host-local": "host_local",
    "loopback": "loopback",
    "portmap": "portmap",
    "bandwidth": "bandwidth",
}
_NODE_LAUNCHERS = ("kubelet", "kube-proxy")
#: containerd's names of registries → what it asks when the lab's own has no such image. `_default` is every other
#: registry, which is asked by its own name.
_MIRRORED = {"docker.io": "https://registry-1.docker.io", "registry.k8s.io": "https://registry.k8s.io", "_default": ""}
_KEEPALIVED, _CHECK = "/etc/keepalived/keepalived.conf", "/etc/keepalived/check-apiserver.sh"
_MASTER_CONFS = ("admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf")


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit of a machine. files: those whose change asks for its restart. code: packages it runs."""

    name: str
    files: tuple[str, ...]
    code: Sequence[str] = ()


def machine_files(
    lab: Lab, machine: Machine, secrets: Path, code: str, local: Local, client: bytes | None = None
) -> dict[str, File]:
    """Absolute path → file, for one machine.

    ``secrets``: where ``ensure_cluster_pki`` put the keys; ``code``: digest of the control plane's code, which static
    pods carry; ``local``: what the driver decides; ``client``: the compiled executable in front of the CNI plugins,
    ``None`` where it could not be compiled.
    """
    files = {
        "/etc/hosts": _text(render_hosts(machine.name, lab.hosts)),
        "/var/lib/kubelet/config.yaml": _text(
            render("kubelet-config.yaml.j2", lab=lab, machine=machine, cgroup_root=local.cgroup_root)
        ),
        "/var/lib/kubelet/kubeadm-flags.env": _text(render("kubeadm-flags.env.j2", lab=lab, machine=machine)),
        f"{SYSTEMD}/kubelet.service": _text(render("kubelet.service.j2")),
        f"{SYSTEMD}/kubelet.service.d/10-kubeadm.conf": _text(render("10-kubeadm.conf.j2")),
        f"{SYSTEMD}/kube-proxy.service": _text(render("kube-proxy.service.j2", lab=lab, machine=machine)),
        "/etc/kubernetes/pki/ca.crt": File((secrets / "pki/ca.crt").read_bytes()),
        "/etc/kubernetes/kubelet.conf": _secret(secrets / f"kubelet-{machine.name}.conf"),
        "/etc/kubernetes/kube-proxy.conf": _secret(secrets / "kube-proxy.conf"),
        "/var/lib/kubelet/pki/kubelet.crt": File((secrets / f"pki/kubelet-{machine.name}.crt").read_bytes()),
        "/var/lib/kubelet/pki/kubelet.key": _secret(secrets / f"pki/kubelet-{machine.name}.key"),
    }
    for name in _LAUNCHERS if machine.is_master else _NODE_LAUNCHERS:
        text = render("launcher.sh.j2", python=VENV_PYTHON, module=_LAUNCHERS[name])
        files[f"/usr/local/bin/{name}"] = _text(text, 0o755)
    files["/usr/local/bin/crictl"] = _text(render("crictl-launcher.py.j2", python=local.python), 0o755)
    files["/etc/crictl.yaml"] = _text(render("crictl.yaml.j2"))
    if client is not None:
        files[CNI_CLIENT] = File(client, 0o755)
    interpreter = f"{local.python} -IS" if client is None else f"{CNI_CLIENT} {local.python}"
    for name, module in _CNI.items():
        text = render("cni-launcher.py.j2", interpreter=interpreter, module=module)
        files[f"/opt/cni/bin/{name}"] = _text(text, 0o755)
    for registry, server in _MIRRORED.items():
        text = render("hosts.toml.j2", server=server, registries=[each.name for each in lab.all_masters])
        files[f"/etc/containerd/certs.d/{registry}/hosts.toml"] = _text(text)
    if machine.is_master:
        files |= _master_files(lab, machine, secrets, code)
    return files


def machine_units(lab: Lab, machine: Machine, files: Mapping[str, File]) -> list[Unit]:
    """The units that run on a machine, in the order in which to start them."""

    service = lab.control_plane is ControlPlane.SERVICE
    units = []
    if machine.is_master:
        units.append(Unit("docker-registry.service", ()))
        if lab.shared_ip:
            units.append(Unit("keepalived.service", (f"{SYSTEMD}/keepalived.service", _KEEPALIVED, _CHECK)))
    if machine.is_master and service:
        pki = tuple(path for path in files if path.startswith("/etc/kubernetes/pki/"))
        etcd = tuple(path for path in pki if path.startswith("/etc/kubernetes/pki/etcd/"))
        units.append(Unit("etcd.service", (f"{SYSTEMD}/etcd.service", *etcd)))
        units.append(
            Unit("kubelab-control-plane.service", (f"{SYSTEMD}/kubelab-control-plane.service", *pki), CONTROL_PLANE)
        )
    kubelet = tuple(path for path in files if path.startswith(("/var/lib/kubelet/", f"{SYSTEMD}/kubelet.")))
    units.append(Unit("kubelet.service", (*kubelet, "/etc/kubernetes/kubelet.conf"), NODE_AGENT))
    proxy = (f"{SYSTEMD}/kube-proxy.service", "/etc/kubernetes/kube-proxy.conf")
    units.append(Unit("kube-proxy.service", proxy, NODE_AGENT))
    return units


def _master_files(lab: Lab, machine: Machine, secrets: Path, code: str) -> dict[str, File]:
    files: dict[str, File] = {}
    for path in sorted((secrets / "pki").rglob("*")):
        # The kubelets' serving certificates are beside the cluster's own, one for each machine.
        if path.is_file() and not path.name.startswith("kubelet-"):
            mode = 0o600 if path.suffix == ".key" else 0o644
            files[f"/etc/kubernetes/pki/{path.relative_to(secrets / 'pki')}"] = File(path.read_bytes(), mode)
    for name in _MASTER_CONFS:
        files[f"/etc/kubernetes/{name}"] = _secret(secrets / name)
    files["/root/.kube/config"] = _secret(secrets / "admin.conf")
    if lab.shared_ip:
        files |= _shared_address(lab, machine)
    if lab.control_plane is ControlPlane.STATIC_PODS:
        for name, text in manifests.render_manifests(lab, machine, code).items():
            files[f"/etc/kubernetes/manifests/{name}"] = _text(text, 0o600)
    else:
        for name, source, mode in (
            ("ca.crt", "etcd/ca.crt", 0o644),
            ("client.crt", "apiserver-etcd-client.crt", 0o644),
            ("client.key", "apiserver-etcd-client.key", 0o600),
        ):
            files[f"{manifests.ETCD_CLIENT}/{name}"] = File((secrets / "pki" / source).read_bytes(), mode)
        etcd = render("etcd.service.j2", flags=manifests.etcd_flags(lab, machine))
        files[f"{SYSTEMD}/etcd.service"] = _text(etcd)
        flags = manifests.control_plane_flags(lab, machine)
        unit = render("control-plane.service.j2", flags=flags)
        files[f"{SYSTEMD}/kubelab-control-plane.service"] = _text(unit)
    return files


def _shared_address(lab: Lab, machine: Machine) -> dict[str, File]:
    """What has one master at a time hold the API servers' address. The first is preferred at the start alone."""
    priority = 100 - lab.all_masters.index(machine)
    return {
        _KEEPALIVED: _text(render("keepalived.conf.j2", lab=lab, machine=machine, priority=priority, check=_CHECK)),
        _CHECK: _text(render("check-apiserver.sh.j2"), 0o755),
        f"{SYSTEMD}/keepalived.service": _text(render("keepalived.service.j2")),
    }


def _text(text: str, mode: int = 0o644) -> File:
    return File(text.encode(), mode)


def _secret(path: Path) -> File:
    return File(path.read_bytes(), 0o600)
