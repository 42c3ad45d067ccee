"""The scheduler's configuration: upstream's flags, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery.client.component import ComponentConfig, flag_parser, read_flags
from apimachinery.kit.config import Problems
from apimachinery.meta.common_flags import duration
from controlplane.scheduler.config_extenders import ExtenderConfig
from controlplane.scheduler.config_file import DEFAULT_LEASE_AT, FileConfig, LeaseAt, read_file
from controlplane.scheduler.profiles import Profile
from controlplane.scheduler.queue import DEFAULT_BACKOFFS, Backoffs

DEFAULT_PORT = 10259


@dataclass(frozen=True, slots=True)
class SchedulerConfig(ComponentConfig):
    """What `wire.build` needs. delay_cache: who does not lead follows nothing (delayCacheUntilActive).

    said: the configuration file as it stands. write_to: where the whole configuration is to be written.
    """

    profiles: tuple[Profile, ...] = (Profile(),)
    percentage_of_nodes_to_score: int = 0
    extenders: tuple[ExtenderConfig, ...] = ()
    backoffs: Backoffs = DEFAULT_BACKOFFS
    delay_cache: bool = False
    lease: LeaseAt = DEFAULT_LEASE_AT
    said: Mapping[str, Any] = field(default_factory=dict)
    write_to: Path | None = None


def parse(argv: Sequence[str]) -> SchedulerConfig:
    """Read the command line. Raises ConfigError with every problem; SystemExit for --help and --version."""
    parser = flag_parser("kube-scheduler", "Binds pending pods to nodes.", DEFAULT_PORT)
    parser.accept({"pod-max-in-unschedulable-pods-duration": duration})
    parser.add_argument(
        "--config",
        type=Path,
        help="a KubeSchedulerConfiguration file: --kubeconfig is ignored beside it, --leader-elect… win over it",
    )
    parser.add_argument("--write-config-to", type=Path, help="write the configuration in force to this file, and end")
    args = parser.read(argv)
    problems = Problems()
    file = FileConfig()
    if args.config is not None:
        file = read_file(args.config, problems)
        problems.raise_if_any()
        args.kubeconfig = None  # of the command line, only what concerns the lease counts beside a file
    component = read_flags(
        args,
        problems,
        kubeconfig=file.kubeconfig,
        leader_elect=file.leader_elect is not False,
        leader_lease=file.leader_lease,
    )
    problems.raise_if_any()
    return SchedulerConfig(
        **component,
        profiles=file.profiles,
        percentage_of_nodes_to_score=file.percentage_of_nodes_to_score,
        extenders=file.extenders,
        backoffs=file.backoffs,
        delay_cache=file.delay_cache,
        said=file.said,
        write_to=args.write_config_to,
        lease=LeaseAt(
            args.leader_elect_resource_namespace or file.lease.namespace,
            args.leader_elect_resource_name or file.lease.name,
        ),
    )
