"""Chain names that every cluster has."""

import pytest

from nodeagent.proxy.iptables import names


@pytest.mark.parametrize(
    ("port", "protocol", "chain"),
    [
        ("default/kubernetes:https", "tcp", "KUBE-SVC-NPX46M4PTMTKRN6Y"),
        ("kube-system/kube-dns:dns", "udp", "KUBE-SVC-TCOU7JCQXEZGVUNU"),
        ("kube-system/kube-dns:dns-tcp", "tcp", "KUBE-SVC-ERIFXISQEP7F7OF4"),
        ("kube-system/kube-dns:metrics", "tcp", "KUBE-SVC-JD5MR3NA4I4DYORP"),
    ],
)
def test_hashes_are_upstreams(port: str, protocol: str, chain: str) -> None:
    chains = names.port_chains(port, protocol)
    assert chains.cluster == chain
    assert chains.local == chain.replace("SVC", "SVL")
    assert len(names.endpoint_chain(port, protocol, "10.244.0.2:53")) <= 28
