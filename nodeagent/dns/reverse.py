"""Names of addresses: 4.3.2.1.in-addr.arpa (RFC 1035 section 3.5) and ip6.arpa (RFC 3596 section 2.5)."""

from __future__ import annotations

import ipaddress

from nodeagent.dns.message import Name


def reversed_address(name: Name) -> str | None:
    """`4.3.2.1.in-addr.arpa` → "1.2.3.4"; None for anything else."""
    labels = name[:-2][::-1]
    try:
        if name[-2:] == ("in-addr", "arpa") and len(labels) == 4:
            return str(ipaddress.IPv4Address(".".join(labels)))
        if name[-2:] == ("ip6", "arpa") and len(labels) == 32 and all(len(label) == 1 for label in labels):
            return str(ipaddress.IPv6Address(int("".join(labels), 16)))
    except ValueError:
        return None
    return None
