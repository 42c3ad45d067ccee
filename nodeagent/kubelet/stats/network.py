"""What went over network interfaces, from /proc/PID/net/dev: any process in the namespace tells of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# cadvisor leaves these out: the loopback, and the other ends of what pods count themselves.
_IGNORED = ("lo", "veth", "docker")


@dataclass(frozen=True, slots=True)
class Interface:
    """Counters since the interface was made."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def parse_net_dev(text: str) -> list[Interface]:
    """The interfaces of a namespace, without the loopback (proc(5))."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if not name.strip().startswith(_IGNORED) and len(numbers) >= 16:
            found.append(Interface(name.strip(), *numbers[:4], *numbers[8:12]))
    return found


def default_interface(text: str) -> str:
    """The interface of the default route in /proc/net/route; "" when there is none."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "00000000":
            return words[0]
    return ""


def read_interfaces(process: int | str, root: Path = Path("/proc")) -> Sequence[Interface]:
    """Those of a process' namespace; none when it has ended."""
    try:
        return parse_net_dev((root / str(process) / "net/dev").read_text())
    except OSError:
        return ()
