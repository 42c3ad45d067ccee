"""The kubelet's configuration: flags over the file over the defaults, checked as a whole."""

from __future__ import annotations

import argparse
import ipaddress
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from apimachinery.kit.config import Problems, boolean

from .config_file import read_config

_NODE_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_LABEL = re.compile(r"^([-a-zA-Z0-9.]+/)?[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Durations in seconds, sizes in bytes, cpu in millicores."""

    node_name: str = ""
    node_ips: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    root_dir: Path = Path("/var/lib/kubelet")
    cert_dir: Path = Path("/var/lib/kubelet/pki")
    pod_logs_dir: Path = Path("/var/log/pods")
    runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    static_pod_path: Path | None = None
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = ""
    resolv_conf: Path | None = Path("/etc/resolv.conf")
    cgroup_root: str = "/"
    cgroup_driver: str = "cgroupfs"
    address: str = "0.0.0.0"
    port: int = 10250
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    client_ca_file: Path | None = None
    anonymous: bool = False
    webhook_authn: bool = True
    webhook_authn_ttl: float = 120.0
    authorization_mode: str = "Webhook"
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    max_pods: int = 110
    pod_pids_limit: int = -1
    pod_cidr: str = ""
    provider_id: str = ""
    serialize_image_pulls: bool = True
    image_gc_high: int = 85
    image_gc_low: int = 80
    log_max_size: int = 10 * 1024 * 1024
    log_max_files: int = 5
    eviction_hard: Mapping[str, str] = field(
        default_factory=lambda: {
            "memory.available": "100Mi",
            "nodefs.available": "10%",
            "nodefs.inodesFree": "5%",
            "imagefs.available": "15%",
            "imagefs.inodesFree": "5%",
        }
    )
    system_reserved: Mapping[str, int] = field(default_factory=dict)
    kube_reserved: Mapping[str, int] = field(default_factory=dict)
    register_node: bool = True
    register_with_taints: tuple[Mapping[str, str], ...] = ()
    node_labels: Mapping[str, str] = field(default_factory=dict)
    status_update: float = 10.0
    status_report: float = 300.0
    crash_backoff_max: float = 300.0
    cloud_provider: str = ""
    verbosity: int = 0

    def shown(self) -> dict[str, Any]:
        """For /configz."""
        return {key: str(entry) if isinstance(entry, Path) else entry for key, entry in asdict(self).items()}


def _taints(text: str) -> tuple[dict[str, str], ...]:
    """`key=value:effect,key:effect`."""
    result = []
    for part in filter(None, text.split(",")):
        pair, _, effect = part.rpartition(":")
        key, _, setting = pair.partition("=")
        if not key or effect not in _EFFECTS:
            raise ValueError(f"invalid taint spec: {part}")
        result.append({"key": key, "effect": effect, **({"value": setting} if setting else {})})
    return tuple(result)


def _labels(text: str) -> dict[str, str]:
    """`key=value,…`."""
    result = {}
    for part in filter(None, text.split(",")):
        key, _, setting = part.partition("=")
        if not _LABEL.match(key):
            raise ValueError(f"invalid label: {part}")
        result[key] = setting
    return result


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(part)) for part in text.split(","))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


# Flag → (field, how to read its text).
_FLAGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "kubeconfig": ("kubeconfig", Path),
    "hostname-override": ("node_name", str),
    "node-ip": ("node_ips", _addresses),
    "root-dir": ("root_dir", Path),
    "cert-dir": ("cert_dir", Path),
    "container-runtime-endpoint": ("runtime_endpoint", str),
    "pod-manifest-path": ("static_pod_path", Path),
    "cluster-dns": ("cluster_dns", _listed),
    "cluster-domain": ("cluster_domain", str),
    "resolv-conf": ("resolv_conf", Path),
    "cgroup-root": ("cgroup_root", str),
    "cgroup-driver": ("cgroup_driver", str),
    "address": ("address", str),
    "port": ("port", int),
    "healthz-bind-address": ("healthz_address", str),
    "healthz-port": ("healthz_port", int),
    "tls-cert-file": ("tls_cert_file", Path),
    "tls-private-key-file": ("tls_key_file", Path),
    "client-ca-file": ("client_ca_file", Path),
    "anonymous-auth": ("anonymous", boolean),
    "authentication-token-webhook": ("webhook_authn", boolean),
    "authorization-mode": ("authorization_mode", str),
    "max-pods": ("max_pods", int),
    "pod-max-pids": ("pod_pids_limit", int),
    "provider-id": ("provider_id", str),
    "register-node": ("register_node", boolean),
    "register-with-taints": ("register_with_taints", _taints),
    "node-labels": ("node_labels", _labels),
    "cloud-provider": ("cloud_provider", str),
    "v": ("verbosity", int),
}


def load(argv: Sequence[str]) -> Config:
    """Read the command line and the file it names. Raises ConfigError with everything that is wrong."""
    problems = Problems()
    parser = argparse.ArgumentParser("kubelet", allow_abbrev=False, description="The node agent.")
    parser.add_argument("--config", help="KubeletConfiguration file")
    for flag in _FLAGS:
        parser.add_argument(f"--{flag}" if len(flag) > 1 else f"-{flag}", f"--{flag}", dest=flag)
    given, unknown = parser.parse_known_args(argv)
    for argument in unknown:
        problems.add("kubelet", f"unknown flag: {argument}")
    settings: dict[str, Any] = {}
    if given.config:
        settings |= read_config(Path(given.config), problems)
    for flag, (name, read) in _FLAGS.items():
        text = getattr(given, flag)
        if text is None:
            continue
        try:
            settings[name] = read(text)
        except ValueError as error:
            problems.add(f"--{flag}", f"invalid argument {text!r}: {error}")
    if given.__dict__.get("cert-dir") is None and "root_dir" in settings:
        settings.setdefault("cert_dir", settings["root_dir"] / "pki")
    settings["node_name"] = str(settings.get("node_name") or socket.gethostname()).strip().lower()
    names = {entry.name for entry in fields(Config)}
    config = Config(**{key: entry for key, entry in settings.items() if key in names})
    _check(config, problems)
    problems.raise_if_any()
    return config


def _check(config: Config, problems: Problems) -> None:
    if not _NODE_NAME.match(config.node_name) or len(config.node_name) > 253:
        problems.add("--hostname-override", f"{config.node_name!r} is no valid node name (RFC 1123 subdomain)")
    if config.kubeconfig is not None and not config.kubeconfig.is_file():
        problems.add("--kubeconfig", f"{config.kubeconfig}: no such file")
    if config.cgroup_driver != "cgroupfs":
        problems.add("cgroupDriver", f"{config.cgroup_driver!r} is not supported; only cgroupfs is")
    if config.authorization_mode not in ("Webhook", "AlwaysAllow"):
        problems.add("authorization.mode", f"{config.authorization_mode!r}: must be Webhook or AlwaysAllow")
    if bool(config.tls_cert_file) != bool(config.tls_key_file):
        problems.add("tlsCertFile", "tlsCertFile and tlsPrivateKeyFile must be set together")
    if not config.runtime_endpoint.startswith(("unix://", "/")):
        problems.add("containerRuntimeEndpoint", f"{config.runtime_endpoint!r}: must be a unix socket")
    for name, number in (("port", config.port), ("healthzPort", config.healthz_port)):
        if not 0 <= number <= 65535:
            problems.add(name, f"{number}: must be between 0 and 65535")
    if not 0 <= config.image_gc_low <= config.image_gc_high <= 100:
        problems.add("imageGCHighThresholdPercent", "must be above imageGCLowThresholdPercent and at most 100")
    if config.log_max_files < 2:
        problems.add("containerLogMaxFiles", f"{config.log_max_files}: must be greater than 1")
    if config.max_pods < 0:
        problems.add("maxPods", f"{config.max_pods}: must not be negative")
    for server in config.cluster_dns:
        try:
            ipaddress.ip_address(server)
        except ValueError:
            problems.add("clusterDNS", f"{server!r} is no IP address")
