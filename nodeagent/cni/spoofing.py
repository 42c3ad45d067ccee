"""What a pod may send: frames from its own hardware address, with its own IP addresses; nobody else's.

A classic BPF program on the port's ingress (`tc filter show dev vethX ingress`): without state, gone with the port, and
cheaper than a table of all ports, which every frame would have to be looked up in.
"""

from __future__ import annotations

from nodeagent.netlink import traffic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Step = tuple[int, int, str, str]

PRIORITY = 1
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
# Offsets in a frame: Ethernet 14, ARP and IPv4 behind it, IPv6 40.
_MAC, _TYPE, _ARP_MAC, _ARP_IP, _IPV4_SOURCE = 6, 12, 22, 28, 26
_NEXT_HEADER, _IPV6_SOURCE, _BEHIND_IPV6 = 20, 22, 54
_HOP_BY_HOP, _ROUTING, _DESTINATION, _ICMPV6 = 0, 43, 60, 58
_ROUTER_ADVERTISEMENT, _NEIGHBOUR_ADVERTISEMENT, _REDIRECT = 134, 136, 137
# Instructions (linux/bpf_common.h): load a word, half or byte at a fixed place; jump if equal; return.
_WORD, _HALF, _BYTE, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
_NEXT = ""


def render_program(mac: bytes, ips: list[bytes]) -> bytes:
    """mac: of the pod's interface. ips: all that it may send from, besides its link-local address; pure.

    An IPv6 neighbour may be announced only as itself, and routers and redirects not at all (CVE-2020-10749).
    """
    code = _Code()
    code.same(_MAC, mac)
    code.load(_HALF, _TYPE)
    for kind, label in ((_ARP, "arp"), (_IPV4, "ipv4"), (_IPV6, "ipv6")):
        code.equal(kind, label)
    code.stop("drop")
    fours = [ip for ip in ips if len(ip) == 4]
    code.label("arp")
    code.same(_ARP_MAC, mac)
    code.load(_WORD, _ARP_IP)
    for ip in [*fours, b"\0\0\0\0"]:  # 0.0.0.0 asks whether anybody has an address (RFC 5227)
        code.equal(int.from_bytes(ip, "big"), "pass")
    code.stop("drop")
    code.label("ipv4")
    code.load(_WORD, _IPV4_SOURCE)
    for ip in fours:
        code.equal(int.from_bytes(ip, "big"), "pass")
    code.stop("drop")
    code.label("ipv6")
    own = [*(ip for ip in ips if len(ip) == 16), link_local(mac)]
    code.any_of(_IPV6_SOURCE, [*own, bytes(16)], "inside")
    code.stop("drop")
    _look_inside(code, own)
    return code.assemble()


def render_mac_program(mac: bytes) -> bytes:
    """Only the hardware address is looked at: the reference's `macspoofchk`."""
    code = _Code()
    code.same(_MAC, mac)
    return code.assemble()


def link_local(mac: bytes) -> bytes:
    """The address that an interface gives itself (RFC 4291, appendix A)."""
    return b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def _look_inside(code: _Code, own: list[bytes]) -> None:
    code.label("inside")
    code.load(_BYTE, _NEXT_HEADER)
    code.equal(_ICMPV6, "icmp")
    extensions = (_HOP_BY_HOP, _ROUTING, _DESTINATION)
    for kind in extensions:
        code.equal(kind, "extended")
    code.stop("pass")
    code.label("icmp")
    code.load(_BYTE, _BEHIND_IPV6)
    code.equal(_ROUTER_ADVERTISEMENT, "drop")
    code.equal(_REDIRECT, "drop")
    code.equal(_NEIGHBOUR_ADVERTISEMENT, "announced", "pass")
    code.label("announced")
    code.any_of(_BEHIND_IPV6 + 8, own, "pass")
    code.stop("drop")
    # Behind one short extension header, as reports of multicast listeners have it, nothing of the above may hide.
    code.label("extended")
    code.load(_BYTE, _BEHIND_IPV6)
    for kind in extensions:
        code.equal(kind, "drop")
    code.equal(_ICMPV6, _NEXT, "pass")
    code.load(_BYTE, _BEHIND_IPV6 + 1)
    code.equal(0, _NEXT, "drop")
    code.load(_BYTE, _BEHIND_IPV6 + 8)
    for kind in (_ROUTER_ADVERTISEMENT, _NEIGHBOUR_ADVERTISEMENT, _REDIRECT):
        code.equal(kind, "drop")
    code.stop("pass")


class _Code:
    """Instructions with names to jump to, which must lie ahead. `pass` and `drop` end the program; so does its end."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        self._labels[name] = len(self._steps)

    def load(self, size: int, offset: int) -> None:
        self._steps.append((size, offset, _NEXT, _NEXT))

    def equal(self, value: int, then: str, otherwise: str = _NEXT) -> None:
        self._steps.append((_JUMP_EQUAL, value, then, otherwise))

    def stop(self, verdict: str) -> None:
        value = traffic.TC_ACT_SHOT if verdict == "drop" else traffic.TC_ACT_UNSPEC
        self._steps.append((_RETURN, value, _NEXT, _NEXT))

    def same(self, offset: int, mac: bytes) -> None:
        """Drop what has another hardware address there."""
        self.load(_WORD, offset)
        self.equal(int.from_bytes(mac[:4], "big"), _NEXT, "drop")
        self.load(_HALF, offset + 4)
        self.equal(int.from_bytes(mac[4:], "big"), _NEXT, "drop")

    def any_of(self, offset: int, ips: list[bytes], then: str) -> None:
        """Go to `then` when one of the IPv6 addresses stands there."""
        for ip in ips:
            other = f"other than {ip.hex()} at {offset}"
            for part in range(0, 16, 4):
                self.load(_WORD, offset + part)
                self.equal(int.from_bytes(ip[part : part + 4], "big"), then if part == 12 else _NEXT, other)
            self.label(other)

    def assemble(self) -> bytes:
        self.label("pass")
        self.stop("pass")
        self.label("drop")
        self.stop("drop")
        return b"".join(self._instructions())

    def _instructions(self) -> Iterator[bytes]:
        for number, (code, value, then, otherwise) in enumerate(self._steps):
            yes, no = (self._labels[name] - number - 1 if name else 0 for name in (then, otherwise))
            yield traffic.INSTRUCTION.pack(code, yes, no, value)
