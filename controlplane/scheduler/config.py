"""The scheduler's configuration: upstream's flags, checked as a whole."""

from __future__ import annotations

import argparse
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.kit.config import ConfigError, Problems, boolean
from controlplane.scheduler.config_extenders import ExtenderConfig
from controlplane.scheduler.config_fields import Fields
from controlplane.scheduler.config_file import DEFAULT_LEASE, FileConfig, read_file
from controlplane.scheduler.profiles import Profile
from controlplane.scheduler.queue import DEFAULT_BACKOFFS, Backoffs

DEFAULT_PORT = 10259
_LEASE_FLAGS = ("--leader-elect-lease-duration", "--leader-elect-renew-deadline", "--leader-elect-retry-period")


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """What `wire.build` needs.

    secure_port: of the health and metrics server; 0 serves none.
    leader_lease: seconds that the lease holds, that its holder tries to renew it, and between two tries.
    """

    client: ClientConfig
    leader_elect: bool = False
    leader_lease: tuple[float, float, float] = DEFAULT_LEASE
    bind_address: str = "0.0.0.0"
    secure_port: int = 0
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    identity: str = ""
    verbosity: int = 0
    profiles: tuple[Profile, ...] = (Profile(),)
    percentage_of_nodes_to_score: int = 0
    extenders: tuple[ExtenderConfig, ...] = ()
    backoffs: Backoffs = DEFAULT_BACKOFFS

    @property
    def holder(self) -> str:
        """The identity in the leader election lease."""
        return self.identity or socket.gethostname()


def parse(argv: Sequence[str]) -> SchedulerConfig:
    """Read the command line. Raises ConfigError with every problem; SystemExit for --help and unknown flags."""
    parser = argparse.ArgumentParser("kube-scheduler", description="Binds pending pods to nodes.", allow_abbrev=False)
    parser.add_argument("--config", type=Path, help="a KubeSchedulerConfiguration file; flags win over it")
    parser.add_argument("--kubeconfig", help="file with the API server's address and our credentials")
    parser.add_argument("--leader-elect", type=boolean, nargs="?", const=True)
    for flag in _LEASE_FLAGS:
        parser.add_argument(flag, help="of the lease; as in leaderElection of --config")
    parser.add_argument("--bind-address", default="0.0.0.0", help="address of the health and metrics server")
    parser.add_argument("--secure-port", type=int, default=DEFAULT_PORT, help="its port (HTTPS); 0 serves none")
    parser.add_argument("--tls-cert-file", type=Path)
    parser.add_argument("--tls-private-key-file", type=Path)
    parser.add_argument("--v", type=int, default=0, help="log verbosity")
    # kubeadm's manifests name these. Health is open to all here, so there is nobody to authenticate.
    parser.add_argument("--authentication-kubeconfig")
    parser.add_argument("--authorization-kubeconfig")
    args = parser.parse_args(argv)
    problems = Problems()
    file = read_file(args.config, problems) if args.config is not None else FileConfig()
    elect = next((each for each in (args.leader_elect, file.leader_elect) if each is not None), True)
    if not 0 <= args.secure_port <= 65535:
        problems.add("--secure-port", f"{args.secure_port} is not a port (0 to 65535)")
    if (args.tls_cert_file is None) != (args.tls_private_key_file is None):
        problems.add("--tls-cert-file", "needs --tls-private-key-file, and the reverse")
    lease = _lease(args, file, problems)
    client = ClientConfig("")
    try:
        if kubeconfig := args.kubeconfig or file.kubeconfig:
            client = load_kubeconfig(kubeconfig)
        else:
            problems.add("--kubeconfig", "neither the flag nor clientConnection.kubeconfig of --config says it")
    except ConfigError as error:
        for problem in error.problems:
            problems.add("--kubeconfig", problem)
    problems.raise_if_any()
    return SchedulerConfig(
        client=client,
        leader_elect=elect,
        leader_lease=lease,
        bind_address=args.bind_address,
        secure_port=args.secure_port,
        tls_cert_file=args.tls_cert_file,
        tls_private_key_file=args.tls_private_key_file,
        identity=f"{socket.gethostname()}_{uuid.uuid4()}",
        verbosity=args.v,
        profiles=file.profiles,
        percentage_of_nodes_to_score=file.percentage_of_nodes_to_score,
        extenders=file.extenders,
        backoffs=file.backoffs,
    )


def _lease(args: argparse.Namespace, file: FileConfig, problems: Problems) -> tuple[float, float, float]:
    fields = Fields(problems)
    said = {flag: getattr(args, flag.removeprefix("--").replace("-", "_")) for flag in _LEASE_FLAGS}
    lease, renew, retry = (
        fields.seconds(flag, said, default=of_file)
        for flag, of_file in zip(_LEASE_FLAGS, file.leader_lease, strict=True)
    )
    if not lease > renew > retry:
        problems.add(_LEASE_FLAGS[0], f"{lease:g} s > {renew:g} s > {retry:g} s does not hold")
    return lease, renew, retry
