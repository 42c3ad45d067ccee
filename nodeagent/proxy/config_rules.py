"""What upstream's kube-proxy refuses of its configuration, in its words (pkg/proxy/apis/config/validation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.kit.config import Problems
from apimachinery.meta.addresses import parse_cidr, parse_ip, plain_network
from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import Path, Verbatim, invalid, not_supported
from apimachinery.meta.times import format_duration, parse_duration

from .config_file import KIND
from .node import PRIMARY

_ROOT = Path(KIND)
MODES = ("iptables", "ipvs", "nftables")
LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix", "")
# Upstream's sentence, as it is.
_ONE_OR_TWO = "must be a either a single CIDR or dual-stack pair of CIDRs (e.g. [10.100.0.0/16, fde4:8dba:82e1::/48]"
_A_CIDR = "must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)"
_MODE = f"must be {', '.join(MODES)} or blank (blank means the best-available proxy [currently iptables])"


def refuse(problems: Problems, field: str, value: Any, detail: str) -> None:
    """field: below KubeProxyConfiguration, as upstream calls it."""
    problems.add(f"{KIND}.{field}", invalid(_ROOT, value, detail).message)


def check_range(problems: Problems, field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        refuse(problems, field, value, f"must be within the range [{least}, {most}]")


def check_mode(problems: Problems, mode: str) -> None:
    """Of upstream's modes there is no ipvs here."""
    if mode not in MODES:
        refuse(problems, "Mode.ProxyMode", mode, _MODE)
    elif mode == "ipvs":
        problems.add("mode", f"{mode!r} is not supported; iptables and nftables are")


def check_local_mode(problems: Problems, mode: str) -> None:
    """Of upstream's ways to know pods' traffic there is the first here."""
    if mode not in LOCAL_MODES:
        problems.add(f"{KIND}.DetectLocalMode", not_supported(_ROOT, mode, LOCAL_MODES).message)
    elif mode and mode != LOCAL_MODES[0]:
        problems.add("detectLocalMode", f"{mode!r} is not supported; {LOCAL_MODES[0]} is")


def read_cluster_cidrs(text: str, problems: Problems) -> tuple[str, ...]:
    """One network, or one of each family, joined by a comma."""
    field, texts = "DetectLocalConfiguration.ClusterCIDRs", text.split(",")
    shown = Verbatim(f"[]string{{{', '.join(map(quoted, texts))}}}")
    found = [parse_cidr(each) for each in texts]
    if len(texts) > 2:
        refuse(problems, field, shown, _ONE_OR_TWO)
        return ()
    for at, (each, network) in enumerate(zip(texts, found, strict=True)):
        if network is None:
            refuse(problems, f"{field}[{at}]", each, _A_CIDR)
    networks = [network for network in found if network is not None]
    if len(networks) == 2 and networks[0].version == networks[1].version:
        refuse(problems, field, shown, _ONE_OR_TWO)
    return tuple(str(plain_network(each)) for each in texts if parse_cidr(each) is not None)


def read_node_port_addresses(texts: Sequence[str], problems: Problems) -> tuple[str, ...]:
    """Networks, or PRIMARY alone."""
    found = []
    for at, text in enumerate(texts):
        field = f"NodePortAddresses[{at}]"
        if text == PRIMARY:
            if len(texts) > 1:
                refuse(problems, field, text, "can't use both 'primary' and CIDRs")
            return (PRIMARY,)
        if parse_cidr(text) is None:
            refuse(problems, field, text, "must be a valid CIDR")
        else:
            found.append(str(plain_network(text)))
    return tuple(found)


def read_address(text: str, port: int, field: str, problems: Problems) -> tuple[str, int] | None:
    """`host:port`, `host` or `[v6]:port`; None for the empty text."""
    if not text:
        return None
    if parse_ip(text.strip("[]")) is not None:
        return text.strip("[]"), port
    host, colon, digits = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        refuse(problems, field, text, "must be IP:port")
        return None
    host = host.strip("[]")
    if parse_ip(host) is None:
        refuse(problems, field, host, "must be a valid IP")
    if not digits.isdecimal() or not 1 <= int(digits) <= 65535:
        refuse(problems, field, digits, "must be a valid port")
        return None
    return host, int(digits)


def read_period(text: str, field: str, problems: Problems, *, zero: bool) -> float:
    """Seconds. zero: whether it may be none at all."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        problems.add(field, f"{text!r} is no duration")
        return 1.0
    if seconds < 0 or (seconds == 0 and not zero):
        shown = Verbatim(format_duration(seconds))
        refuse(problems, field, shown, "must be greater than or equal to 0" if zero else "must be greater than 0")
    return seconds


def check_periods(problems: Problems, sync: float, least: float) -> None:
    """The shown value is that of the other field, as upstream's."""
    if least > sync:
        shown = Verbatim(format_duration(least))
        refuse(problems, "SyncPeriod", shown, f"must be greater than or equal to {KIND}.MinSyncPeriod")
