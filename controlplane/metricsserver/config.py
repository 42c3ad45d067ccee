"""metrics-server's configuration: upstream's flags, checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.client.config import ClientConfig, load_in_cluster, load_kubeconfig
from apimachinery.kit.config import ConfigError, Problems
from apimachinery.kit.flags import FlagParser
from apimachinery.meta import times
from apimachinery.meta.common_flags import COMPONENT, RELEASE

_ADDRESS_TYPES = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
_DEFAULT_TYPES = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP"


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """What `wire.build` needs. Durations are seconds.

    resolution: how often kubelets are asked. address_types: which of a Node's addresses, the best first.
    kubelet_ca: PEM of the authority of the kubelets' certificates, None for the API server's. node_port: ask the port
    that the Node's status names.
    """

    client: ClientConfig
    bind_address: str = "0.0.0.0"
    secure_port: int = 443
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    resolution: float = 60.0
    address_types: tuple[str, ...] = tuple(_DEFAULT_TYPES.split(","))
    kubelet_ca: bytes | None = None
    insecure_tls: bool = False
    kubelet_port: int = 10250
    node_port: bool = False
    kubelet_timeout: float = 10.0
    node_selector: str = ""
    verbosity: int = 0


def parse(argv: Sequence[str]) -> MetricsConfig:
    """Read the flags. Raises ConfigError with every problem."""
    parser = FlagParser("metrics-server", "Tells what pods and nodes use.", RELEASE)
    parser.accept({name: kind for name, kind in COMPONENT.items() if name not in ("cert-dir", "master")})
    add = parser.add_argument
    add("--kubeconfig", default="")
    add("--bind-address", default="0.0.0.0")
    add("--secure-port", default="443")
    add("--cert-dir", default="")
    add("--tls-cert-file", default="")
    add("--tls-private-key-file", default="")
    add("--metric-resolution", default="60s")
    add("--kubelet-preferred-address-types", default=_DEFAULT_TYPES)
    add("--kubelet-certificate-authority", default="")
    add("--kubelet-insecure-tls", nargs="?", const="true", default="false")
    add("--kubelet-port", default="10250")
    add("--kubelet-use-node-status-port", nargs="?", const="true", default="false")
    add("--kubelet-request-timeout", default="10s")
    add("--node-selector", default="")
    add("-v", "--v", dest="verbosity", default="0")
    given, problems = parser.read(argv), Problems()

    def number(flag: str, text: str) -> int:
        if not text.isdecimal() or int(text) > 65535:
            problems.add(flag, f"invalid argument {text!r}")
            return 0
        return int(text)

    def seconds(flag: str, text: str) -> float:
        try:
            return times.parse_duration(text)
        except ValueError as error:
            problems.add(flag, f"invalid argument {text!r}: {error}")
            return 0.0

    def flag_of(flag: str, text: str) -> bool:
        if text.lower() not in ("true", "false"):
            problems.add(flag, f"invalid argument {text!r}")
        return text.lower() == "true"

    types = tuple(filter(None, given.kubelet_preferred_address_types.split(",")))
    for name in set(types) - set(_ADDRESS_TYPES):
        problems.add("--kubelet-preferred-address-types", f"unknown address type {name!r}")
    resolution = seconds("--metric-resolution", given.metric_resolution)
    timeout = seconds("--kubelet-request-timeout", given.kubelet_request_timeout)
    if not problems and resolution < 10:
        problems.add("--metric-resolution", "should be a time duration at least 10s")
    if not problems and timeout * 10 > resolution * 9:
        said = f"should be smaller than 0.9 * metric-resolution({resolution:g}s)"
        problems.add("--kubelet-request-timeout", said)
    if bool(given.tls_cert_file) != bool(given.tls_private_key_file):
        problems.add("--tls-cert-file", "must be given together with --tls-private-key-file")
    kubelet_ca = None
    if given.kubelet_certificate_authority:
        try:
            kubelet_ca = Path(given.kubelet_certificate_authority).read_bytes()
        except OSError as error:
            problems.add("--kubelet-certificate-authority", str(error))
    client = None
    try:
        client = load_kubeconfig(given.kubeconfig) if given.kubeconfig else load_in_cluster()
    except (ConfigError, OSError) as error:
        problems.add("--kubeconfig", str(error))
    ports = number("--secure-port", given.secure_port), number("--kubelet-port", given.kubelet_port)
    insecure = flag_of("--kubelet-insecure-tls", given.kubelet_insecure_tls)
    node_port = flag_of("--kubelet-use-node-status-port", given.kubelet_use_node_status_port)
    problems.raise_if_any()
    assert client is not None
    return MetricsConfig(
        client=client,
        bind_address=given.bind_address,
        secure_port=ports[0],
        tls_cert_file=Path(given.tls_cert_file) if given.tls_cert_file else None,
        tls_private_key_file=Path(given.tls_private_key_file) if given.tls_private_key_file else None,
        resolution=resolution,
        address_types=types,
        kubelet_ca=kubelet_ca,
        insecure_tls=insecure,
        kubelet_port=ports[1],
        node_port=node_port,
        kubelet_timeout=timeout,
        node_selector=given.node_selector,
        verbosity=int(given.verbosity) if given.verbosity.isdecimal() else 0,
    )
