"""Traffic control on the way: what shapes or drops a packet where it leaves an interface or comes in. Pure.

Where it leaves, the filters of `clsact` and then the root queue (tc(8)); where it comes in, the filters of `ingress` or
`clsact`. The `bandwidth` plug-in keeps a token bucket on a pod's port for what goes to the pod, and leads what comes
from it through an `ifb` that has another; the check of a pod's addresses is a filter on its port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.cni.spoofing import PRIORITY as SPOOF_CHECK

from .frames import Frame, Unjudged, run_program
from .packet import Packet
from .snapshot import Host, Json
from .verdicts import in_network

_BANDWIDTH = (
    ", or a larger rate and burst (of a pod: kubernetes.io/ingress-bandwidth, …/egress-bandwidth, read when it starts)"
)
EGRESS, INGRESS = "egress", "ingress"
_DROP, _PASS, _NEXT, _REDIRECT, _UNKNOWN = "drop", "pass", "next", "redirect", "unknown"
# What every interface has, unless somebody asks for something else: nothing is shaped by them.
_CHECK = "the pod's own addresses"
_USUAL = frozenset(("noqueue", "pfifo_fast", "mq", "fq", "fq_codel", "ingress", "clsact"))
_ETHERNET = 14  # bytes in front of the packet; they count (tc-tbf(8))
_FIRST = {("tcp", 4): 74, ("tcp", 6): 94}  # bytes of the frame that opens a connection, with Linux's usual options
_LEAST = {4: 42, 6: 62}  # of a datagram with nothing in it
_NEVER = 1.0  # seconds for one full packet: slower than that, connections give up
_SHOT, _UNSPEC = 2, 0xFFFFFFFF  # linux/pkt_cls.h


@dataclass(frozen=True, slots=True)
class Judged:
    """What a queue or filter does. stops: it drops the packet; wrong: what is not as it should be, "" when all is.

    device: where a filter sends the packet instead. is_check: it is the check of the pod's own addresses. mend: what to
    do about it.
    """

    text: str
    command: str
    counters: str = ""
    stops: bool = False
    wrong: str = ""
    doubtful: bool = False
    device: str = ""
    is_check: bool = False
    mend: str = ""


def judge_queue(host: Host, device: str, packet: Packet, mtu: int) -> Judged | None:
    """The root queue of the interface; None for one that everybody has. mtu: bytes of the largest packet."""
    body = next((one for one in host.queues if one.get("dev") == device and one.get("root")), None)
    if body is None or body.get("kind") in _USUAL:
        return None
    kind, options = str(body.get("kind")), body.get("options") or {}
    command = f"tc -s qdisc show dev {device}"
    counters = f"{body.get('packets', 0)}:{body.get('bytes', 0)}, {body.get('drops', 0)} dropped"
    text, wrong, stops, doubtful = kind, "", False, False
    if kind == "tbf":
        text, wrong, stops = _judge_bucket(options, _size(packet), mtu)
    elif kind == "blackhole":
        text, wrong, stops = "blackhole", "it drops everything", True
    elif kind == "netem":
        loss = float((options.get("loss-random") or {}).get("loss", 0))
        delay = float((options.get("delay") or {}).get("delay", 0))
        text = f"netem, which delays by {delay * 1000:g} ms and loses {loss:.0%}"
        wrong = "it loses packets on purpose" if loss else ""
        stops = loss >= 1
    else:
        doubtful = True
    mend = f"tc qdisc del dev {device} root" + (_BANDWIDTH if kind == "tbf" else "")
    return Judged(
        f"{device}: {text}", command, counters, stops, wrong and f"{device}: {text}: {wrong}", doubtful, mend=mend
    )


def judge_filters(host: Host, device: str, direction: str, packet: Packet, frame: Frame) -> list[Judged]:
    """The filters that say something of the packet, in order; the last of them decides."""
    found: list[Judged] = []
    command = f"tc -s filter show dev {device} {direction}"
    for body in sorted(host.filters.get((device, direction), ()), key=lambda one: int(one.get("pref", 0))):
        options = body.get("options")
        if not isinstance(options, dict) or not _of_its_protocol(str(body.get("protocol", "all")), packet):
            continue  # the line that tc prints for the priority itself
        kind, priority = str(body.get("kind")), int(body.get("pref", 0))
        decided, target = _decide(kind, options, packet, frame)
        is_check = kind == "bpf" and priority == SPOOF_CHECK and bool(options.get("direct-action"))
        if decided == _NEXT and not is_check:
            continue
        name = f"{device} {direction}, filter {priority} ({_CHECK if is_check else kind}):"
        words = {
            _DROP: "drops it", _REDIRECT: f"leads it through {target}", _PASS: "lets it pass",
            _NEXT: "lets it pass", _UNKNOWN: "cannot be judged from here",
        }[decided]  # fmt: skip
        found.append(
            Judged(
                f"{name} {words}", command, _counters(options), decided == _DROP, doubtful=decided == _UNKNOWN,
                device=target, is_check=is_check, mend=f"tc filter del dev {device} {direction} pref {priority}",
            )
        )  # fmt: skip
        if decided not in (_UNKNOWN, _NEXT):
            break
    return found


def _judge_bucket(options: Json, first: int, mtu: int) -> tuple[str, str, bool]:
    """(in words, what is wrong, whether nothing passes). A bucket smaller than a frame never lets it out."""
    rate, burst = int(options.get("rate", 0)), int(options.get("burst", 0))
    queue = int(options["limit"]) if "limit" in options else burst + rate * int(options.get("lat", 0)) // 1_000_000
    text = f"tbf, {_bits(rate)} and bursts of {_bytes(burst)}"
    room = min(burst, queue)
    if room < first:
        return text, f"a bucket of {_bytes(room)} never lets a frame of {first} bytes out: everything is dropped", True
    if room < mtu + _ETHERNET:
        return text, f"a bucket of {_bytes(room)} never lets a full frame of {mtu + _ETHERNET} bytes out", False
    if rate and mtu / rate > _NEVER:
        return text, f"a full packet takes {mtu / rate:.0f} seconds", False
    return text, "", False


def _decide(kind: str, options: Json, packet: Packet, frame: Frame) -> tuple[str, str]:
    """(what it does, by which interface it goes on instead)."""
    if kind == "bpf":
        program = (options.get("bytecode") or {}).get("insns")
        if program is None:
            return _UNKNOWN, ""
        try:
            said = run_program(program, frame)
        except Unjudged:
            return _UNKNOWN, ""
        if options.get("direct-action"):
            return _DROP if said == _SHOT else _NEXT if said == _UNSPEC else _PASS if said == 0 else _UNKNOWN, ""
        return _act(options.get("actions") or ()) if said else (_NEXT, "")
    if kind == "matchall":
        return _act(options.get("actions") or ())
    if kind == "flower":
        matched = _matches(options.get("keys") or {}, packet)
        if matched is None:
            return _UNKNOWN, ""
        return _act(options.get("actions") or ()) if matched else (_NEXT, "")
    return _UNKNOWN, ""


def _act(actions: Sequence[Json]) -> tuple[str, str]:
    for action in actions:
        said = str((action.get("control_action") or {}).get("type", ""))
        if action.get("kind") == "mirred" and action.get("mirred_action") == "redirect":
            return _REDIRECT, str(action.get("to_dev", ""))
        if action.get("kind") == "gact" and said in ("drop", "shot"):
            return _DROP, ""
        if action.get("kind") not in ("gact", "mirred"):
            return _UNKNOWN, ""
        if said == "continue":
            return _NEXT, ""
    return _PASS, ""


def _matches(keys: Mapping[str, Any], packet: Packet) -> bool | None:
    """Of `flower`. None where a key is none of those that a packet has here."""
    known = {"ip_proto": packet.protocol, "dst_port": str(packet.dport), "src_port": str(packet.sport or None)}
    for key, value in keys.items():
        if key in ("dst_ip", "src_ip"):
            if not in_network(packet.dst if key == "dst_ip" else packet.src, str(value)):
                return False
        elif key in known:
            if known[key] != str(value):
                return False
        elif key != "eth_type":
            return None
    return True


def _of_its_protocol(said: str, packet: Packet) -> bool:
    return said in ("all", "ipv6" if ":" in packet.dst else "ip")


def _size(packet: Packet) -> int:
    family = 6 if ":" in packet.dst else 4
    return _FIRST.get((packet.protocol, family), _LEAST[family])


def _counters(options: Json) -> str:
    """Of the first action that counts."""
    stats = next((one["stats"] for one in options.get("actions") or () if "stats" in one), None)
    return f"{stats.get('packets', 0)}:{stats.get('bytes', 0)}" if stats else ""


def _bits(rate: int) -> str:
    """rate: bytes a second."""
    for unit, name in ((10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s")):
        if rate * 8 >= unit:
            return f"{rate * 8 / unit:g} {name}"
    return f"{rate * 8} bit/s"


def _bytes(count: int) -> str:
    return f"{count // 1024} KiB" if count >= 1024 and count % 1024 == 0 else f"{count} bytes"
