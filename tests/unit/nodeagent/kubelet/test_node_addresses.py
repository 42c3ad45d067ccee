"""A node with an address of each family: both are of one type, by which a patch would merge them."""

from __future__ import annotations

from apimachinery.api.catalogue import NODES
from apimachinery.api.schema import SCHEMA
from apimachinery.meta.patches import strategic_merge
from nodeagent.kubelet.node.render import addresses, with_whole_addresses


def test_addresses_replace_those_that_the_node_had() -> None:
    both = addresses("n", ("10.0.0.1", "fd00::1"))
    node = {"status": {"addresses": addresses("n", ("10.0.0.9", "fd00::9")), "phase": "x"}}
    for _ in range(2):
        patch = {"status": with_whole_addresses({"addresses": both})}
        node = strategic_merge(node, patch, SCHEMA.patch_meta(NODES.gvk))
        assert node["status"] == {"addresses": both, "phase": "x"}
    assert with_whole_addresses({"phase": "y"}) == {"phase": "y"}
