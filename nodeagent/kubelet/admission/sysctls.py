"""Which sysctls a pod may set: the safe ones and those the node allows (pkg/kubelet/sysctl/allowlist.go). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nodeagent.kubelet.pods import Pod

from .predicates import Refusal

_SAFE = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def forbidden_sysctl(pod: Pod, allowed: Sequence[str] = ()) -> Refusal | None:
    """The refusal of a pod with a sysctl that is not safe, not `allowed`, or that would be the host's.

    allowed: names, or prefixes that end in `*`, of `allowedUnsafeSysctls`.
    """
    spec = pod["spec"]
    for entry in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = normal(entry["name"])
        why = None
        if name not in _SAFE and not any(_covers(normal(pattern), name) for pattern in allowed):
            why = "not allowlisted"
        elif name.startswith("net.") and spec.get("hostNetwork"):
            why = "not allowed with host Net enabled"
        elif name.startswith(_IPC) and spec.get("hostIPC"):
            why = "not allowed with host IPC enabled"
        if why is not None:
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" {why}')
    return None


def normal(name: str) -> str:
    """`net/ipv4/x` as `net.ipv4.x`; what is a dot in the first spelling is a slash in the second."""
    first = min((name.find(sign) for sign in "./" if sign in name), default=-1)
    return name if first < 0 or name[first] == "." else name.translate(str.maketrans("./", "/."))


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
