"""Our addresses and the standard library's are one."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.cni import addresses

NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
)


@given(NETWORKS, st.ip_addresses())
def test_networks(
    network: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int], other: ipaddress.IPv4Address
) -> None:
    ip, prefix = network
    if getattr(ip, "ipv4_mapped", None):
        return
    theirs = ipaddress.ip_network(f"{ip}/{prefix}", strict=False)
    ours = addresses.parse_network(f"{ip}/{prefix}")
    assert (ours.network, ours.last) == (theirs.network_address.packed, theirs.broadcast_address.packed)
    assert ours.contains(other.packed) == (other in theirs)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "fd00::/129", "x/8", "10.1/8"]
)
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="invalid CIDR address"):
        addresses.parse_network(text)
