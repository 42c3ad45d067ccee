"""The cloud controller manager's configuration: upstream's flags, checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.client.component import ComponentConfig, flag_parser, positive_seconds, read_flags
from apimachinery.kit.config import Problems, boolean
from apimachinery.kit.flags import FlagParser
from controlplane.cloud.context import Periods
from controlplane.cloud.kubelab.lab import SCHEME, LabFile
from controlplane.cloud.provider import CloudProblem

DEFAULT_PORT = 10258


@dataclass(frozen=True, slots=True)
class CloudConfig(ComponentConfig):
    """What `wire.build` needs. Durations are seconds.

    cloud_config: the provider's file. controllers: names as `--controllers` takes them. debug_socket: a file by which
    the host's owner reaches the glass box; None serves none. routes: whether the host is to have routes to the pods.
    """

    cloud_config: Path = field(kw_only=True)
    controllers: tuple[str, ...] = ("*",)
    debug_socket: Path | None = None
    periods: Periods = field(default_factory=Periods)
    routes: bool = True

    def enabled(self, name: str) -> bool:
        """Tell whether `--controllers` asks for the controller: `name`, `-name`, or `*` for all."""
        if f"-{name}" in self.controllers:
            return False
        return name in self.controllers or "*" in self.controllers


def parse(argv: Sequence[str]) -> CloudConfig:
    """Read the command line. Raises ConfigError with every problem; SystemExit for --help and --version."""
    args = _parser().read(argv)
    problems = Problems()
    if args.cloud_provider != SCHEME:
        problems.add("--cloud-provider", f"{args.cloud_provider!r} is not known; {SCHEME} is")
    component = read_flags(args, problems)

    periods = Periods(
        monitor=positive_seconds(args, "--node-monitor-period", problems),
        status=positive_seconds(args, "--node-status-update-frequency", problems),
        routes=positive_seconds(args, "--route-reconciliation-period", problems),
    )
    try:
        LabFile(args.cloud_config).load()
    except CloudProblem as problem:
        problems.add("--cloud-config", str(problem))
    problems.raise_if_any()
    return CloudConfig(
        **component,
        cloud_config=args.cloud_config,
        controllers=tuple(name.strip() for name in args.controllers.split(",")),
        debug_socket=args.debug_socket,
        periods=periods,
        routes=args.configure_cloud_routes,
    )


def _parser() -> FlagParser:
    parser = flag_parser(
        "cloud-controller-manager", "Joins the cluster to the host of its machines.", DEFAULT_PORT, "127.0.0.1"
    )
    add = parser.add_argument
    add("--cloud-provider", default=SCHEME, help=f"whose cloud: {SCHEME}")
    add("--cloud-config", type=Path, required=True, help="the provider's file: the lab's machines and addresses")
    add("--controllers", default="*", help="controllers to run: *, NAME, -NAME, comma-separated")
    add("--configure-cloud-routes", type=boolean, nargs="?", const=True, default=True,
        help="keep routes to the nodes' pods on this host")  # fmt: skip
    add("--node-monitor-period", default="5s", help="between looks at nodes that are silent")
    add("--node-status-update-frequency", default="5m0s", help="between looks at every node's addresses")
    add("--route-reconciliation-period", default="10s", help="between looks at the routes")
    add("--debug-socket", type=Path, help="where kubelab step and kubelab trace look in; unset serves none")
    return parser
