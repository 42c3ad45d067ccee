"""Where proxied requests may go."""

import pytest

from controlplane.apiserver.streams.addresses import is_proxyable


@pytest.mark.parametrize("address", ["192.168.60.11", "10.244.1.7", "203.0.113.5", "2001:db8::1", "fd00::1"])
def test_addresses_of_machines(address: str) -> None:
    assert is_proxyable(address)


_NEAR = ["127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1%eth0", "224.0.0.1", "ff02::1"]


@pytest.mark.parametrize("address", [*_NEAR, "255.255.255.255", "::ffff:127.0.0.1", "::ffff:169.254.169.254"])
def test_addresses_that_only_this_machine_or_its_link_sees(address: str) -> None:
    assert not is_proxyable(address)
