"""The cloud controller manager's configuration: upstream's flags, checked as a whole."""

from __future__ import annotations

import argparse
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.kit.config import ConfigError, Problems, boolean
from apimachinery.meta import times
from controlplane.cloud.context import Periods
from controlplane.cloud.kubelab.lab import SCHEME, LabFile
from controlplane.cloud.provider import CloudProblem

DEFAULT_PORT = 10258


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """What `wire.build` needs. Durations are seconds.

    cloud_config: the provider's file. controllers: names as `--controllers` takes them. leader_lease: how long the
    lease holds, how long its holder tries to renew it, and how often. secure_port: of health, metrics, the glass box; 0
    serves none. debug_socket: a file by which the host's owner reaches the glass box; None serves none. routes:
    whether the host is to have routes to the pods.
    """

    client: ClientConfig
    cloud_config: Path
    controllers: tuple[str, ...] = ("*",)
    leader_elect: bool = True
    leader_lease: tuple[float, float, float] = (15.0, 10.0, 2.0)
    bind_address: str = "127.0.0.1"
    secure_port: int = 0
    debug_socket: Path | None = None
    periods: Periods = field(default_factory=Periods)
    routes: bool = True
    identity: str = ""
    verbosity: int = 0

    @property
    def holder(self) -> str:
        """The identity in the leader election lease."""
        return self.identity or socket.gethostname()

    def enabled(self, name: str) -> bool:
        """Tell whether `--controllers` asks for the controller: `name`, `-name`, or `*` for all."""
        if f"-{name}" in self.controllers:
            return False
        return name in self.controllers or "*" in self.controllers


def parse(argv: Sequence[str]) -> CloudConfig:
    """Read the command line. Raises ConfigError with every problem; SystemExit for --help and unknown flags."""
    args = _parser().parse_args(list(argv))
    problems = Problems()
    if args.cloud_provider != SCHEME:
        problems.add("--cloud-provider", f"{args.cloud_provider!r} is not known; {SCHEME} is")
    if not 0 <= args.secure_port <= 65535:
        problems.add("--secure-port", f"{args.secure_port} is not a port (0 to 65535)")

    def seconds(flag: str, text: str) -> float:
        try:
            found = times.parse_duration(text)
        except ValueError as error:
            problems.add(flag, str(error))
            return 1.0
        if found <= 0:
            problems.add(flag, f"{text}: must be greater than 0")
        return found

    periods = Periods(
        monitor=seconds("--node-monitor-period", args.node_monitor_period),
        status=seconds("--node-status-update-frequency", args.node_status_update_frequency),
        routes=seconds("--route-reconciliation-period", args.route_reconciliation_period),
    )
    lease = (
        seconds("--leader-elect-lease-duration", args.leader_elect_lease_duration),
        seconds("--leader-elect-renew-deadline", args.leader_elect_renew_deadline),
        seconds("--leader-elect-retry-period", args.leader_elect_retry_period),
    )
    if not lease[0] > lease[1] > lease[2]:
        told = f"{lease[0]:g} s > {lease[1]:g} s > {lease[2]:g} s does not hold"
        problems.add("--leader-elect-lease-duration", told)
    try:
        LabFile(args.cloud_config).load()
    except CloudProblem as problem:
        problems.add("--cloud-config", str(problem))
    client = ClientConfig("")
    try:
        client = load_kubeconfig(args.kubeconfig)
    except ConfigError as error:
        for each in error.problems:
            problems.add("--kubeconfig", each)
    problems.raise_if_any()
    return CloudConfig(
        client=client,
        cloud_config=args.cloud_config,
        controllers=tuple(name.strip() for name in args.controllers.split(",")),
        leader_elect=args.leader_elect,
        leader_lease=lease,
        bind_address=args.bind_address,
        secure_port=args.secure_port,
        debug_socket=args.debug_socket,
        periods=periods,
        routes=args.configure_cloud_routes,
        identity=f"{socket.gethostname()}_{uuid.uuid4()}",
        verbosity=args.v,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cloud-controller-manager", description="Joins the cluster to the host of its machines.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--cloud-provider", default=SCHEME, help=f"whose cloud: {SCHEME}")
    add("--cloud-config", type=Path, required=True, help="the provider's file: the lab's machines and addresses")
    add("--kubeconfig", required=True, help="file with the API server's address and our credentials")
    add("--controllers", default="*", help="controllers to run: *, NAME, -NAME, comma-separated")
    add("--configure-cloud-routes", type=boolean, nargs="?", const=True, default=True,
        help="keep routes to the nodes' pods on this host")  # fmt: skip
    add("--node-monitor-period", default="5s", help="between looks at nodes that are silent")
    add("--node-status-update-frequency", default="5m0s", help="between looks at every node's addresses")
    add("--route-reconciliation-period", default="10s", help="between looks at the routes")
    add("--leader-elect", type=boolean, nargs="?", const=True, default=True)
    add("--leader-elect-lease-duration", default="15s", help="how long the lease holds when it is not renewed")
    add("--leader-elect-renew-deadline", default="10s", help="how long the leader tries to renew it; less than that")
    add("--leader-elect-retry-period", default="2s", help="how often it is renewed, or asked for; less again")
    add("--bind-address", default="127.0.0.1", help="address of the health and metrics server")
    add("--secure-port", type=int, default=DEFAULT_PORT, help="its port (HTTPS); 0 serves none")
    add("--debug-socket", type=Path, help="where kubelab step and kubelab trace look in; unset serves none")
    add("--v", type=int, default=0, help="log verbosity")
    return parser
