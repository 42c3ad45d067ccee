"""What every elected component is told by flags (k8s.io/component-base): its client, its lease, the port it serves."""

from __future__ import annotations

import argparse
import logging
import socket
import ssl
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery.client.config import ClientConfig, load_in_cluster, load_kubeconfig
from apimachinery.client.open_paths import HEALTH, OpenPaths
from apimachinery.kit import tls
from apimachinery.kit.clock import Clock
from apimachinery.kit.config import ConfigError, Problems, boolean
from apimachinery.kit.flags import FlagParser, Joined
from apimachinery.kit.tls_choice import USUAL_TLS, TLSChoice
from apimachinery.meta import times
from apimachinery.meta.common_flags import COMPONENT, RELEASE

if TYPE_CHECKING:
    from apimachinery.client.leader import LeaderElector, Tell
    from apimachinery.client.rest import Client

log = logging.getLogger(__name__)

Lease = tuple[float, float, float]
DEFAULT_LEASE: Lease = (15.0, 10.0, 2.0)
DEFAULT_LEASE_NAMESPACE = "kube-system"
_JITTER = 1.2  # client-go waits up to so many retry periods
_LEASE = {
    "--leader-elect-lease-duration": "how long the lease holds when it is not renewed (15s)",
    "--leader-elect-renew-deadline": "how long the leader tries to renew it; less than that (10s)",
    "--leader-elect-retry-period": "how often it is renewed, or asked for; less again (2s)",
}


@dataclass(frozen=True, slots=True)
class ComponentConfig:
    """The part of a component's configuration that is the same for all. Durations are seconds.

    lease_name, lease_namespace: which lease leads; empty: the component's own, in kube-system.
    leader_lease: how long the lease holds, how long its holder tries to renew it, and how often.
    secure_port: of health, metrics and the glass box; 0 serves none. open_paths: of it, for everybody.
    kubeconfig: the file that `client` comes from.
    """

    client: ClientConfig
    kubeconfig: str = ""
    leader_elect: bool = False
    leader_lease: Lease = DEFAULT_LEASE
    lease_name: str = ""
    lease_namespace: str = ""
    bind_address: str = "0.0.0.0"
    secure_port: int = 0
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    tls_choice: TLSChoice = USUAL_TLS
    open_paths: OpenPaths = field(default_factory=OpenPaths)
    identity: str = ""
    verbosity: int = 0

    @property
    def holder(self) -> str:
        """The identity in the leader election lease."""
        return self.identity or socket.gethostname()

    def elector(
        self,
        client: Client,
        name: str,
        clock: Clock,
        namespace: str = DEFAULT_LEASE_NAMESPACE,
        tell: Tell | None = None,
    ) -> LeaderElector:
        """Who asks for the component's lease, which `client` writes: `name` in `namespace`, if no flag says another.
        tell: as LeaderElector's."""
        name, namespace = self.lease_name or name, self.lease_namespace or namespace
        from apimachinery.client.leader import LeaderElector  # with aiohttp; flags are told wrong before it is loaded

        lease, renew, retry = self.leader_lease
        return LeaderElector(
            client, name, namespace, self.holder, clock, lease=lease, renew=renew, retry=retry, tell=tell
        )

    def shown(self, name: str, namespace: str = DEFAULT_LEASE_NAMESPACE) -> dict[str, Any]:
        """What of it /configz shows, with the names of upstream's internal types, which have no others. name,
        namespace: as of `elector`."""
        lease, renew, retry = map(times.format_duration, self.leader_lease)
        return {
            "ClientConnection": {"Kubeconfig": self.kubeconfig},
            "LeaderElection": {
                "LeaderElect": self.leader_elect,
                "LeaseDuration": lease,
                "RenewDeadline": renew,
                "RetryPeriod": retry,
                "ResourceLock": "leases",
                "ResourceName": self.lease_name or name,
                "ResourceNamespace": self.lease_namespace or namespace,
            },
        }

    def server_context(self, name: str) -> ssl.SSLContext:
        """The server's side of TLS, with a certificate made now when none was given."""
        if self.tls_cert_file is not None and self.tls_private_key_file is not None:
            context = tls.server_context(self.tls_cert_file, self.tls_private_key_file)
        else:
            from apimachinery.kit.selfsigned import self_signed_context  # seven megabytes that only this way needs

            context = self_signed_context(name)
        self.tls_choice.apply(context)
        return context


def flag_parser(name: str, description: str, port: int, bind_address: str = "0.0.0.0") -> FlagParser:
    """The flags that `read_flags` reads, and those of upstream that change nothing. `port`: where the component serves
    when it is told nothing."""
    parser = FlagParser(name, description, RELEASE)
    parser.accept(COMPONENT)
    add = parser.add_argument
    add("--kubeconfig", help="file with the API server's address and our credentials; without it, those of our pod")
    add("--leader-elect", type=boolean, nargs="?", const=True, help="lead only while holding the lease (true)")
    for flag, text in _LEASE.items():
        add(flag, help=text)
    add("--leader-elect-resource-name", default="", help=f"the lease that leads ({name})")
    add("--leader-elect-resource-namespace", default="", help=f"its namespace ({DEFAULT_LEASE_NAMESPACE})")
    add("--leader-elect-resource-lock", choices=("leases",), help="what leads: leases")
    add("--bind-address", default=bind_address, help="address of the health and metrics server")
    add("--secure-port", type=int, default=port, help="its port (HTTPS); 0 serves none")
    add("--tls-cert-file", type=Path, help="its certificate; one is made where none is given")
    add("--tls-private-key-file", type=Path)
    add("--tls-min-version", default="", help="the oldest that is spoken: VersionTLS12 (the default) or VersionTLS13")
    add(
        "--tls-cipher-suites",
        action=Joined,
        default="",
        help="comma-separated; for TLS 1.2, those of 1.3 cannot be chosen",
    )
    add("--authorization-always-allow-paths", action=Joined, default=",".join(HEALTH),
        help="comma-separated paths for everybody; a trailing * stands for all below")  # fmt: skip
    for flag in ("--authentication-kubeconfig", "--authorization-kubeconfig"):
        add(flag, help="accepted: who asks, and may, is asked for with --kubeconfig's identity")
    add("--profiling", type=boolean, nargs="?", const=True, default=True, help="accepted: no profiles are served")
    add("-v", "--v", type=int, default=0, help="log verbosity")
    return parser


def read_flags(
    args: argparse.Namespace,
    problems: Problems,
    *,
    kubeconfig: str | None = None,
    leader_elect: bool = True,
    leader_lease: Lease = DEFAULT_LEASE,
) -> dict[str, Any]:
    """The fields of a ComponentConfig; the keywords are what holds where a flag is not given. What is wrong goes to
    `problems`."""
    if not 0 <= args.secure_port <= 65535:
        problems.add("--secure-port", f"{args.secure_port} is not a port (0 to 65535)")
    if (args.tls_cert_file is None) != (args.tls_private_key_file is None):
        problems.add("--tls-cert-file", "needs --tls-private-key-file, and the reverse")
    leads = leader_elect if args.leader_elect is None else args.leader_elect
    return {
        "client": _client(args.kubeconfig or kubeconfig, problems),
        "kubeconfig": args.kubeconfig or kubeconfig or "",
        "leader_elect": leads,
        "leader_lease": _lease(args, problems, leader_lease, leads=leads),
        "lease_name": args.leader_elect_resource_name,
        "lease_namespace": args.leader_elect_resource_namespace,
        "bind_address": args.bind_address,
        "secure_port": args.secure_port,
        "tls_cert_file": args.tls_cert_file,
        "tls_private_key_file": args.tls_private_key_file,
        "tls_choice": TLSChoice.of_flags(args.tls_min_version, args.tls_cipher_suites, problems),
        "open_paths": _open_paths(args.authorization_always_allow_paths, problems),
        "identity": f"{socket.gethostname()}_{uuid.uuid4()}",
        "verbosity": args.v,
    }


def _open_paths(text: str, problems: Problems) -> OpenPaths:
    try:
        return OpenPaths(text.split(",") if text else ())
    except ValueError as error:
        problems.add("--authorization-always-allow-paths", str(error))
        return OpenPaths()


def _client(kubeconfig: str | None, problems: Problems) -> ClientConfig:
    if not kubeconfig:
        return _client_in_cluster(problems)
    try:
        return load_kubeconfig(kubeconfig)
    except ConfigError as error:
        for problem in error.problems:
            problems.add("--kubeconfig", problem)
        return ClientConfig("")


def _client_in_cluster(problems: Problems) -> ClientConfig:
    """Without a kubeconfig: as the pod that we are in (BuildConfigFromFlags)."""
    log.warning("Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.  This might not work.")
    try:
        return load_in_cluster()
    except ConfigError as error:
        log.warning("error creating inClusterConfig, falling back to default config: %s", error)
        told = "no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
        problems.add("invalid configuration", told)
        return ClientConfig("")


def given(args: argparse.Namespace, flag: str) -> Any:
    """What was said for `--some-flag`."""
    return getattr(args, flag.removeprefix("--").replace("-", "_"))


def positive_seconds(args: argparse.Namespace, flag: str, problems: Problems) -> float:
    """The seconds of a flag that names a duration above 0, such as `1m30s`."""
    text = given(args, flag)
    try:
        seconds = times.parse_duration(text)
    except ValueError as error:
        problems.add(flag, str(error))
        return 1.0
    if seconds <= 0:
        problems.add(flag, f"{text}: must be greater than 0")
    return seconds


def _lease(args: argparse.Namespace, problems: Problems, otherwise: Lease, *, leads: bool) -> Lease:
    found = list(otherwise)
    for place, flag in enumerate(_LEASE):
        text = given(args, flag)
        if text is not None:
            try:
                found[place] = times.parse_duration(text)
            except ValueError as error:
                problems.add(flag, str(error))
                return otherwise
    lease, renew, retry = found
    if leads:
        _check_lease(lease, renew, retry, problems)
    return lease, renew, retry


def _check_lease(lease: float, renew: float, retry: float, problems: Problems) -> None:
    """The sentences of k8s.io/component-base/config/validation, and of client-go's elector."""
    said = {"leaseDuration": lease, "renewDeadline": renew, "retryPeriod": retry}
    shown = {name: times.format_duration(seconds) for name, seconds in said.items()}
    for name, seconds in said.items():
        if seconds <= 0:
            problems.add(f"leaderElection.{name}", f"Invalid value: {shown[name]}: must be greater than zero")
    if lease <= renew:
        told = f"Invalid value: {shown['renewDeadline']}: must be greater than `RenewDeadline`"
        problems.add("leaderElection.leaseDuration", told)
    elif renew <= _JITTER * retry:
        told = "renewDeadline must be greater than retryPeriod*JitterFactor"
        problems.add("couldn't create leader elector", told)
