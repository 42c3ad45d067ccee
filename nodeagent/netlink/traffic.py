"""Traffic control (linux/pkt_sched.h, linux/pkt_cls.h): shaping what an interface sends, judging what it receives."""

from __future__ import annotations

import errno
import struct

from .wire import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Netlink,
    NetlinkError,
    Request,
    as_text,
    attribute,
    nested,
    parse_attributes,
    text,
    u32,
)

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
TCA_KIND, TCA_OPTIONS = 1, 2
TC_H_ROOT, TC_H_INGRESS, INGRESS_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TC_LINKLAYER_ETHERNET = 1
TCA_BPF_ACT, TCA_BPF_OPS_LEN, TCA_BPF_OPS, TCA_BPF_FLAGS = 1, 4, 5, 8
TCA_BPF_FLAG_ACT_DIRECT = 1
TC_ACT_UNSPEC, TC_ACT_OK, TC_ACT_SHOT, TC_ACT_STOLEN = 0xFFFFFFFF, 0, 2, 4
TCA_ACT_KIND, TCA_ACT_OPTIONS = 1, 2
TCA_MIRRED_PARMS, TCA_EGRESS_REDIR = 2, 1

_U32_MAX = 0xFFFFFFFF
_MESSAGE = struct.Struct("=BxxxiIII")  # tcmsg: family, interface, handle, parent, info
_RATE = struct.Struct("=BBHhHI")  # tc_ratespec
_BUCKET = struct.Struct("=III")  # the rest of tc_tbf_qopt: limit, buffer, mtu
_MIRRED = struct.Struct("=IIiiiiI")  # tc_mirred
INSTRUCTION = struct.Struct("=HBBI")  # sock_filter (linux/filter.h)
_ALL_PROTOCOLS = struct.unpack("=H", struct.pack("!H", 3))[0]  # ETH_P_ALL in network order
_RETURN, _MATCH = 0x06, _U32_MAX


class TokenBucket:
    """rate: bytes a second, 1 to 2^64-1. burst: bytes that may go at once. limit: bytes that may wait."""

    __slots__ = ("burst", "limit", "rate")

    def __init__(self, rate: int, burst: int, limit: int) -> None:
        self.rate, self.burst, self.limit = rate, min(burst, _U32_MAX), min(limit, _U32_MAX)


def shape(index: int, bucket: TokenBucket) -> Request:
    """What the interface sends keeps to the rate (tc-tbf(8)). Refused with EEXIST when it has another root queue."""
    rate = _RATE.pack(0, TC_LINKLAYER_ETHERNET, 0, 0, 0, min(bucket.rate, _U32_MAX))
    options = attribute(TCA_TBF_PARMS, rate + _RATE.pack(0, 0, 0, 0, 0, 0) + _BUCKET.pack(bucket.limit, 0, 0))
    options += u32(TCA_TBF_BURST, bucket.burst)
    if bucket.rate > _U32_MAX:
        options += attribute(TCA_TBF_RATE64, struct.pack("=Q", bucket.rate))
    body = _MESSAGE.pack(0, index, 0x10000, TC_H_ROOT, 0) + text(TCA_KIND, "tbf") + nested(TCA_OPTIONS, options)
    return Request(RTM_NEWQDISC, body, NLM_F_CREATE | NLM_F_EXCL)


def shaped(netlink: Netlink, index: int) -> int:
    """The rate of the interface's token bucket, bytes a second; 0 when it has none."""
    for body in netlink.dump(RTM_GETQDISC, _MESSAGE.pack(0, index, 0, 0, 0)):
        _, owner, _, parent, _ = _MESSAGE.unpack_from(body)
        found = parse_attributes(body, _MESSAGE.size)
        if owner == index and parent == TC_H_ROOT and as_text(found.get(TCA_KIND, b"")) == "tbf":
            options = parse_attributes(found.get(TCA_OPTIONS, b""))
            if TCA_TBF_RATE64 in options:
                return int(struct.unpack("=Q", options[TCA_TBF_RATE64])[0])
            return int(_RATE.unpack_from(options[TCA_TBF_PARMS])[5])
    return 0


def new_ingress(index: int) -> Request:
    """Filters may look at what the interface receives. Refused with EEXIST when they may already."""
    body = _MESSAGE.pack(0, index, INGRESS_HANDLE, TC_H_INGRESS, 0) + text(TCA_KIND, "ingress")
    return Request(RTM_NEWQDISC, body, NLM_F_CREATE | NLM_F_EXCL)


def ensure_ingress(netlink: Netlink, index: int) -> None:
    try:
        netlink.call(new_ingress(index))
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise


def judge(index: int, priority: int, program: bytes) -> Request:
    """A classic BPF program sees each frame received, from its Ethernet header on, and returns TC_ACT_SHOT to drop it
    or TC_ACT_UNSPEC to let the next filter have it (tc-bpf(8), direct-action)."""
    return _filter(index, priority, _program(program) + u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT))


def redirect(index: int, priority: int, target: int) -> Request:
    """What the interface receives is sent by the interface `target` instead: an ifb hands it back once it is shaped."""
    mirred = _MIRRED.pack(0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, target)
    action = text(TCA_ACT_KIND, "mirred") + nested(TCA_ACT_OPTIONS, attribute(TCA_MIRRED_PARMS, mirred))
    everything = INSTRUCTION.pack(_RETURN, 0, 0, _MATCH)
    return _filter(index, priority, nested(TCA_BPF_ACT, nested(1, action)) + _program(everything))


def judging(netlink: Netlink, index: int) -> dict[int, bytes]:
    """The programs that look at what the interface receives, by priority."""
    found = {}
    for body in netlink.dump(RTM_GETTFILTER, _MESSAGE.pack(0, index, 0, INGRESS_HANDLE, 0)):
        _, owner, _, _, info = _MESSAGE.unpack_from(body)
        options = parse_attributes(parse_attributes(body, _MESSAGE.size).get(TCA_OPTIONS, b""))
        if owner == index and TCA_BPF_OPS in options:
            found[info >> 16] = options[TCA_BPF_OPS]
    return found


def _program(code: bytes) -> bytes:
    count = struct.pack("=H", len(code) // INSTRUCTION.size)
    return attribute(TCA_BPF_OPS_LEN, count) + attribute(TCA_BPF_OPS, code)


def _filter(index: int, priority: int, options: bytes) -> Request:
    head = _MESSAGE.pack(0, index, 0, INGRESS_HANDLE, priority << 16 | _ALL_PROTOCOLS)
    body = head + text(TCA_KIND, "bpf") + nested(TCA_OPTIONS, options)
    return Request(RTM_NEWTFILTER, body, NLM_F_CREATE | NLM_F_EXCL)
