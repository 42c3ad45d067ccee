"""IP addresses and networks as integers (the `ipaddress` module costs start-up time)."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton


def parse_ip(text: str) -> bytes:
    """Network order, 4 or 16 bytes; an IPv4-mapped address as IPv4. Raises ValueError."""
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        raise ValueError(f"invalid IP address: {text}") from None
    return packed[12:] if packed[:12] == b"\0" * 10 + b"\xff\xff" else packed


def format_ip(packed: bytes) -> str:
    return inet_ntop(AF_INET6 if len(packed) == 16 else AF_INET, packed)


def next_ip(packed: bytes, step: int = 1) -> bytes:
    """The address `step` further on. Raises OverflowError past the last of the family."""
    return (int.from_bytes(packed, "big") + step).to_bytes(len(packed), "big")


class Network:
    """An address with its prefix length. `ip` keeps the host's bits; `network` has them cleared."""

    __slots__ = ("ip", "prefix")

    def __init__(self, ip: bytes, prefix: int) -> None:
        if not 0 <= prefix <= len(ip) * 8:
            raise ValueError(f"invalid prefix length {prefix}")
        self.ip, self.prefix = ip, prefix

    @property
    def bits(self) -> int:
        """Of an address of this family: 32 or 128."""
        return len(self.ip) * 8

    @property
    def network(self) -> bytes:
        host = self.bits - self.prefix
        return ((int.from_bytes(self.ip, "big") >> host) << host).to_bytes(len(self.ip), "big")

    @property
    def last(self) -> bytes:
        """The highest address: IPv4's broadcast."""
        return next_ip(self.network, (1 << (self.bits - self.prefix)) - 1)

    def contains(self, ip: bytes) -> bool:
        return len(ip) == len(self.ip) and self.network <= ip <= self.last

    def overlaps(self, other: Network) -> bool:
        return self.contains(other.network) or other.contains(self.network)

    def __str__(self) -> str:
        return f"{format_ip(self.ip)}/{self.prefix}"


def parse_network(text: str) -> Network:
    """`10.1.0.5/24`. Raises ValueError."""
    ip, slash, prefix = text.partition("/")
    if not slash or not prefix.isdecimal():
        raise ValueError(f"invalid CIDR address: {text}")
    try:
        return Network(parse_ip(ip), int(prefix))
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None
