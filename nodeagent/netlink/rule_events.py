"""Notices of the kernel that somebody changed nf_tables rules (NFNLGRP_NFTABLES): an iptables-nft flush, for one."""

from __future__ import annotations

import errno
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, socket

from .wire import NETLINK_NETFILTER, messages

SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NFNLGRP_NFTABLES = 7
NFT_MSG_NEWGEN = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES; the end of one transaction
_UNKNOWN = 1 << 16


class RuleEvents:
    """A socket that becomes readable after a change in the network namespace that its opener was in.

    Raises OSError where the kernel has no nf_tables.
    """

    def __init__(self) -> None:
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def transactions(self) -> int:
        """How many were committed since the last call, by whomever; a large number when too many to be told."""
        count = 0
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return count
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                count += _UNKNOWN
            else:
                count += sum(kind == NFT_MSG_NEWGEN for kind, _, _, _ in messages(data))
