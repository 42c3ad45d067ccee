"""The network configuration that tells the container runtime how to attach pods (CNI SPEC 1.1, section 1)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE_NAME = "10-kubelab.conflist"
NETWORK = "kubelab"
BRIDGE = "cni0"
# What the containerd of Debian 12 and 13 speaks.
CNI_VERSION = "1.0.0"
_DATA_DIR = "/var/lib/cni/networks"


def render_conflist(pod_cidrs: str | Sequence[str], mtu: int = 0, data_dir: str = "", bridge: str = BRIDGE) -> str:
    """pod_cidrs: this node's pod subnet, or one of each family. mtu: bytes; 0 = that of the uplink when a pod starts.

    data_dir: where leases are kept, when not in /var/lib/cni/networks. Raises ValueError for what is no subnet.
    """
    subnets = [pod_cidrs] if isinstance(pod_cidrs, str) else list(pod_cidrs)
    ranges = [[{"subnet": str(ipaddress.ip_network(subnet))}] for subnet in subnets]
    ipam: dict[str, Any] = {"type": "host-local", "ranges": ranges}
    if data_dir:
        ipam["dataDir"] = data_dir
    plugin: dict[str, Any] = {
        "type": "kubelab-bridge",
        "bridge": bridge,
        "isDefaultGateway": True,
        # A node that was given another subnet gets another gateway address with it.
        "forceAddress": True,
        "hairpinMode": True,
        # Not here: it would hide pods from pods of other nodes. The proxy keeps KUBELAB-POD-MASQ instead.
        "ipMasq": False,
        "spoofCheck": True,
        "capabilities": {"portMappings": True, "bandwidth": True},
        "ipam": ipam,
    }
    if mtu:
        plugin["mtu"] = mtu
    return json.dumps({"cniVersion": CNI_VERSION, "name": NETWORK, "plugins": [plugin]}, indent=2) + "\n"


def remove(directory: Path, data_dir: str = "") -> bool:
    """Delete the configuration; False when there is none, or when pods still have addresses of its network."""
    leases = Path(data_dir or _DATA_DIR, NETWORK)
    if leases.is_dir() and any(entry.name[0].isdigit() or ":" in entry.name for entry in leases.iterdir()):
        return False
    path = directory / FILE_NAME
    if not path.exists():
        return False
    path.unlink()
    return True
