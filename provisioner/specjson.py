"""A lab that was made, as JSON: what ``labs/NAME/lab.json`` remembers of the lab file."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict

from provisioner.spec import (
    CloudProvider,
    ControlPlane,
    Driver,
    Group,
    Lab,
    Network,
    NetworkV6,
    PodNetwork,
    ProxyMode,
    Size,
)

_NETWORKS_V6 = ("network_v6", "pod_cidr_v6", "service_cidr_v6")


def dump_lab(lab: Lab) -> str:
    """A lab as JSON, for ``labs/NAME/lab.json``; ``restore_lab`` reads it."""
    plain = asdict(lab)
    for key in ("network", "pod_cidr", "service_cidr"):
        plain[key] = str(plain[key])
    for key in _NETWORKS_V6:
        plain[key] = str(plain[key]) if plain[key] is not None else None
    for key in ("load_balancers", "load_balancers_v6"):
        plain[key] = [str(each) for each in plain[key] or ()]
    return json.dumps(plain, indent=2) + "\n"


def restore_lab(text: str) -> Lab:
    """The lab that ``dump_lab`` wrote."""
    plain = json.loads(text)
    groups = {key: Group(plain[key]["count"], Size(**plain[key]["size"])) for key in ("masters", "workers")}
    pool, pool_v6 = plain.get("load_balancers"), plain.get("load_balancers_v6")
    return Lab(
        name=plain["name"],
        driver=Driver(plain["driver"]),
        masters=groups["masters"],
        workers=groups["workers"],
        network=Network(plain["network"]),
        pod_cidr=Network(plain["pod_cidr"]),
        service_cidr=Network(plain["service_cidr"]),
        dns_domain=plain["dns_domain"],
        proxy_mode=ProxyMode(plain["proxy_mode"]),
        control_plane=ControlPlane(plain["control_plane"]),
        # Labs of before there was one have none yet, and get it.
        metrics_server=plain.get("metrics_server", True),
        pod_network=PodNetwork(plain.get("pod_network", PodNetwork.AUTO)),
        **{key: NetworkV6(plain[key]) if plain.get(key) else None for key in _NETWORKS_V6},
        cloud_provider=CloudProvider(plain.get("cloud_provider", CloudProvider.NONE)),
        load_balancers=(ipaddress.IPv4Address(pool[0]), ipaddress.IPv4Address(pool[1])) if pool else None,
        load_balancers_v6=(ipaddress.IPv6Address(pool_v6[0]), ipaddress.IPv6Address(pool_v6[1])) if pool_v6 else None,
        zones=plain.get("zones", 1),
    )
