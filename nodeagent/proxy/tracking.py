"""How the kernel tracks connections: set as the process starts (upstream's cmd/kube-proxy/app/conntrack.go)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from apimachinery.kit.config import Problems, boolean
from apimachinery.meta.paths import Verbatim
from apimachinery.meta.times import format_duration, parse_duration
from nodeagent.netlink import conntrack
from nodeagent.netlink.links import AF_INET
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink

from .config_rules import refuse

log = logging.getLogger(__name__)

SYSCTLS = Path("/proc/sys/net/netfilter")
HASH_SIZE = Path("/sys/module/nf_conntrack/parameters/hashsize")
_MAX, _LIBERAL = "nf_conntrack_max", "nf_conntrack_tcp_be_liberal"
_PER_BUCKET = 4  # connections, at most, when the table is full
_SECTION = "KubeProxyLinuxConfiguration.KubeProxyConntrackConfiguration"  # as upstream's validation calls it


class Option(NamedTuple):
    """How a field of Tracking is called by a flag and in the file; of what type the flag is, and what its help says."""

    flag: str
    key: str
    type: Callable[[str], object]
    help: str


OPTIONS = {
    "max_per_core": Option(
        "--conntrack-max-per-core", "maxPerCore", int, "connections to track for every processor; 0: leave the limit"
    ),
    "at_least": Option("--conntrack-min", "min", int, "connections to track, however few processors there are"),
    "tcp_established": Option(
        "--conntrack-tcp-timeout-established", "tcpEstablishedTimeout", str, "of idle TCP connections; 0: leave it"
    ),
    "tcp_close_wait": Option(
        "--conntrack-tcp-timeout-close-wait", "tcpCloseWaitTimeout", str, "of TCP in CLOSE_WAIT; 0: leave it"
    ),
    "tcp_liberal": Option(
        "--conntrack-tcp-be-liberal", "tcpBeLiberal", boolean, "track TCP packets outside of the window all the same"
    ),
    "udp": Option("--conntrack-udp-timeout", "udpTimeout", str, "of UDP without an answer; 0: leave it"),
    "udp_stream": Option("--conntrack-udp-timeout-stream", "udpStreamTimeout", str, "of UDP with answers; 0: leave it"),
}
"""By field of Tracking."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """`conntrack` of KubeProxyConfiguration, with upstream's defaults. Times in seconds; 0 leaves what the kernel has.

    max_per_core: connections to track for every processor, 0: leave it; at_least: however few processors there are.
    tcp_liberal: whether TCP packets outside of the window are tracked all the same.
    """

    max_per_core: int = 32 * 1024
    at_least: int = 128 * 1024
    tcp_established: float = 86400.0
    tcp_close_wait: float = 3600.0
    tcp_liberal: bool = False
    udp: float = 0.0
    udp_stream: float = 0.0

    def sysctls(self, processors: int) -> dict[str, int]:
        """What is to be set, by its name below net.netfilter."""
        wanted = {
            _MAX: max(self.max_per_core * processors, self.at_least) if self.max_per_core else 0,
            "nf_conntrack_tcp_timeout_established": int(self.tcp_established),
            "nf_conntrack_tcp_timeout_close_wait": int(self.tcp_close_wait),
            _LIBERAL: int(self.tcp_liberal),
            "nf_conntrack_udp_timeout": int(self.udp),
            "nf_conntrack_udp_timeout_stream": int(self.udp_stream),
        }
        return {name: value for name, value in wanted.items() if value > 0}


def read_tracking(given: Mapping[str, Any], problems: Problems) -> Tracking:
    """given: by field of Tracking, as flags or the file have it; None for what they do not say."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        key, kind = OPTIONS[name].key, OPTIONS[name].type
        found[name] = bool(value) if kind is boolean else value if kind is int else _seconds(value, key, problems)
        if found[name] < 0:
            shown = value if kind is int else Verbatim(format_duration(found[name]))
            refuse(problems, f"{_SECTION}.{_go_name(key)}", shown, "must be greater than or equal to 0")
    return Tracking(**found)


def _go_name(key: str) -> str:
    for short in ("tcp", "udp"):
        if key.startswith(short):
            return key.replace(short, short.upper(), 1)
    return key[0].upper() + key[1:]


def _seconds(text: str, key: str, problems: Problems) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        problems.add(f"conntrack.{key}", f"{text!r} is no duration")
        return 0.0


def set_up(tracking: Tracking, sysctls: Path = SYSCTLS, hash_size: Path = HASH_SIZE) -> bool:
    """Set what is wanted; whether TCP is tracked liberally then, whoever said so.

    What cannot be set is told of and left: upstream ends there, but a node may be a network namespace, which has no
    nf_conntrack_max of its own.
    """
    if not sysctls.joinpath(_MAX).exists():
        _load_module()
    for name, value in tracking.sysctls(os.cpu_count() or 1).items():
        try:
            _write(sysctls / name, value)
            if name == _MAX and _read(hash_size) < value // _PER_BUCKET:
                _write(hash_size, value // _PER_BUCKET)
        except (OSError, ValueError) as error:
            log.warning("cannot set net.netfilter.%s to %d: %s", name, value, error)
    try:
        return _read(sysctls / _LIBERAL) != 0
    except (OSError, ValueError):
        return tracking.tcp_liberal


def _read(path: Path) -> int:
    return int(path.read_text())


def _write(path: Path, value: int) -> None:
    if _read(path) != value:
        path.write_text(str(value))


def _load_module() -> None:
    """Asking for the connections makes the kernel load what tracks them, which rules would do only later."""
    try:
        with Netlink(NETLINK_NETFILTER) as netlink:
            conntrack.list_flows(netlink, AF_INET, frozenset())
    except OSError as error:
        log.warning("cannot have connections tracked: %s", error)
