"""Netlink messages and the socket that carries them (RFC 3549, linux/netlink.h).

Imports only what the interpreter has in C: the CNI plugin is started for every pod and pays for each import.
"""

from __future__ import annotations

import errno
import os
import struct
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSGERR_ATTR_MSG = 1
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END = 16, 17

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 128 * 1024
_DUMP_TRIES = 8


class NetlinkError(OSError):
    """The kernel refused a request. errno as usual; strerror with the kernel's own words where it gave any."""


class Request:
    """One message to send. flags: without NLM_F_REQUEST, which is always set."""

    __slots__ = ("body", "flags", "type")

    def __init__(self, type: int, body: bytes, flags: int = 0) -> None:
        self.type, self.body, self.flags = type, body, flags


def attribute(kind: int, payload: bytes) -> bytes:
    """An attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def parse_attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by type without its flag bits; of several with one type the last. Stops at what is not well formed."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            break
        found[kind & NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found


def as_text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode(errors="replace")


def as_u32(value: bytes) -> int:
    return int.from_bytes(value[:4], "little" if struct.pack("=H", 1)[0] else "big")


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of a datagram as (type, flags, sequence, body)."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            break
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += length + (-length % 4)


class Netlink:
    """A netlink socket in the network namespace that its opener was in; it stays there when the opener moves on.

    protocol: NETLINK_ROUTE or NETLINK_NETFILTER. Not for use by several threads at once.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            try:
                self._socket.setsockopt(SOL_NETLINK, option, 1)
            except OSError:
                pass  # older kernels: errors come without words, dumps unfiltered
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def call(self, *requests: Request) -> list[tuple[int, bytes]]:
        """Carry out the requests in order, sent at once; returns what was answered as (type, body).

        Raises NetlinkError for the first that was refused; the kernel tried those behind it all the same.
        """
        first = self._sequence + 1
        out = bytearray()
        for request in requests:
            self._sequence += 1
            out += _message(request.type, request.flags | NLM_F_ACK, self._sequence, request.body)
        self._socket.send(out)
        answers: list[tuple[int, bytes]] = []
        refused: NetlinkError | None = None
        waiting = len(requests)
        while waiting:
            for kind, flags, sequence, body in messages(self._receive()):
                if not first <= sequence <= self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    waiting -= 1
                    refused = refused or _refusal(flags, body)
                else:
                    answers.append((kind, body))
        if refused is not None:
            raise refused
        return answers

    def transact(self, subsystem: int, requests: Sequence[Request]) -> None:
        """Carry out all requests of a netfilter subsystem, or none: one transaction (linux/netfilter/nfnetlink.h).

        Raises NetlinkError for the first that was refused.
        """
        first = self._sequence + 1
        edge = struct.pack(">BBH", 0, 0, subsystem)
        out = bytearray(_message(_NFNL_MSG_BATCH_BEGIN, 0, first, edge))
        last = first + len(requests)
        for number, request in enumerate(requests, first + 1):
            # Refusals come for every message. Some kernels do not acknowledge the end: ask for that of the last.
            out += _message(request.type, request.flags | (NLM_F_ACK if number == last else 0), number, request.body)
        self._sequence = last + 1
        out += _message(_NFNL_MSG_BATCH_END, 0, self._sequence, edge)
        self._socket.send(out)
        while True:
            for kind, flags, sequence, body in messages(self._receive()):
                if kind == NLMSG_ERROR and first <= sequence <= self._sequence:
                    refused = _refusal(flags, body)
                    if refused is not None:
                        raise refused
                    if sequence == last:
                        return

    def dump(self, type: int, body: bytes, flags: int = 0) -> list[bytes]:
        """Every object that `body` selects. Asked again when the kernel says that the table changed meanwhile."""
        for _ in range(_DUMP_TRIES):
            found, whole = self._dump_once(type, body, flags)
            if whole:
                return found
        raise NetlinkError(errno.EINTR, "the table kept changing while it was read")

    def _dump_once(self, type: int, body: bytes, flags: int) -> tuple[list[bytes], bool]:
        self._sequence += 1
        self._socket.send(_message(type, flags | NLM_F_DUMP, self._sequence, body))
        found: list[bytes] = []
        whole = True
        while True:
            for kind, got, sequence, answer in messages(self._receive()):
                if sequence != self._sequence:
                    continue
                whole = whole and not got & NLM_F_DUMP_INTR
                if kind == NLMSG_DONE:
                    return found, whole
                if kind == NLMSG_ERROR:
                    refused = _refusal(got, answer)
                    if refused is not None:
                        raise refused
                    return found, whole
                found.append(answer)

    def _receive(self) -> bytes:
        return self._socket.recv(_RECEIVE)


def _message(type: int, flags: int, sequence: int, body: bytes) -> bytes:
    message = _HEADER.pack(_HEADER.size + len(body), type, flags | NLM_F_REQUEST, sequence, 0) + body
    return message + b"\0" * (-len(message) % 4)


def _refusal(flags: int, body: bytes) -> NetlinkError | None:
    code = -struct.unpack_from("=i", body)[0]
    if code == 0:
        return None
    words = os.strerror(code)
    if flags & NLM_F_ACK_TLVS:
        # Behind the code stands the header of the request, or the whole request where NETLINK_CAP_ACK is not known.
        length = _HEADER.unpack_from(body, 4)[0] if not flags & NLM_F_CAPPED else _HEADER.size
        said = parse_attributes(body, 4 + length + (-length % 4)).get(NLMSGERR_ATTR_MSG)
        if said:
            words = f"{words}: {as_text(said)}"
    return NetlinkError(code, words)
