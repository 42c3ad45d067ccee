"""Whether what a master should run keeps ending, and what it said last: known long before a wait gives up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.context import Context
from provisioner.manifests import STATIC_PODS
from provisioner.spec import ControlPlane, Lab, Machine

#: Ends during one wait that are no accident: an API server may once be earlier than its store.
LIMIT = 3
#: A unit that systemd has given up.
_FAILED = 1000


@dataclass(frozen=True, slots=True)
class Ended:
    """``name``, a unit or static pod; ``why``, a sentence with its last line; ``lines``, its last ones."""

    name: str
    why: str
    lines: Sequence[str]


@dataclass
class Endings:
    """How often each unit and static pod has ended since the first look. For one wait of one thread."""

    context: Context
    machine: Machine
    _first: Mapping[str, int] = field(default_factory=dict)

    def look(self) -> Ended | None:
        """What ended ``LIMIT`` times or failed for good; None when nothing did.

        Raises ``LabError`` when the machine cannot be asked.
        """
        shell = self.context.shell(self.machine)
        counts = read_counts(shell.run(render_look(self.context.lab), timeout=60.0, check=False).text)
        self._first = self._first or {name: count for name, count in counts.items() if count < _FAILED}
        worst = find_ended(self._first, counts)
        if worst is None:
            return None
        name, times = worst
        lines = shell.run(_last_lines(name), timeout=60.0, check=False).text.splitlines()
        said = f": {lines[-1].strip()}" if lines else ""
        how = "has failed" if times >= _FAILED else f"ended {times} times"
        return Ended(name, f"{name} {how}{said}", lines)


def render_look(lab: Lab) -> str:
    """A command that prints ``Id``, ``NRestarts`` and ``ActiveState`` of the master's units, and NAME=LOG of its static
    pods, where a log's name is the number of containers before. One process: each costs an emulated machine dearly."""
    static = lab.control_plane is ControlPlane.STATIC_PODS
    units = ["docker-registry", "containerd", "kubelet"]
    if not static:
        units += ["etcd", "kubelab-control-plane"]
    if lab.shared_ip:
        units.append("keepalived")
    command = f"systemctl show --property=Id,NRestarts,ActiveState {' '.join(units)}"
    if static:
        names = " ".join(("etcd", *STATIC_PODS))
        command += f"; echo; for name in {names}; do for log in {_logs('$name')}; do echo $name=$log; done; done"
    return command


def read_counts(text: str) -> dict[str, int]:
    """What the command printed → how often each has ended."""
    counts: dict[str, int] = {}
    for block in text.split("\n\n"):  # a unit's properties, in an order of systemd's own
        lines = [line.strip().split("=", 1) for line in block.splitlines() if "=" in line]
        found = dict(lines)
        if unit := found.get("Id", "").removesuffix(".service"):
            failed = found.get("ActiveState") == "failed"
            counts[unit] = _FAILED if failed else int(found.get("NRestarts", "0"))
            continue
        for name, log in lines:
            number = log.rpartition("/")[2].removesuffix(".log")
            if number.isdigit():
                counts[name] = max(counts.get(name, 0), int(number))
    return counts


def find_ended(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[str, int] | None:
    """Which ended ``LIMIT`` times between two looks, or failed, and how often; the most frequent."""
    ended: Sequence[tuple[int, str]] = [(count - before.get(name, 0), name) for name, count in now.items()]
    times, name = max(ended, default=(0, ""))
    return (name, times) if times >= LIMIT else None


def _last_lines(name: str) -> str:
    """The newest log first: it may be of a container that has just begun. Lines begin with time, stream and F or P."""
    pod = f"for log in $(ls -t {_logs(name)} 2>/dev/null | head -n 2); do tail -n 6 $log | cut -d' ' -f4-; done"
    return f"{pod}; journalctl -u {name} -n 16 --no-pager -o cat 2>/dev/null"


def _logs(name: str) -> str:
    return f"/var/log/pods/kube-system_{name}-*/{name}/*.log"
