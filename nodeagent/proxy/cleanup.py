"""`kube-proxy --cleanup`: removes what we put into the kernel, and nothing else."""

from __future__ import annotations

from pathlib import Path

from apimachinery.kit.commands import CommandError, CommandNotFound
from nodeagent.routes import conflist
from nodeagent.routes.kernel import Kernel

from .iptables.command import Iptables
from .iptables.names import FIREWALL
from .iptables.saved import SavedTable, render_cleanup
from .nftables.kernel import NftKernel

_ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")


async def clean_up(conf_dir: Path | None = None, data_dir: str = "") -> None:
    """Rules of both modes and families, routes, the tunnel, and, unless pods are left, the network configuration in
    `conf_dir`. data_dir: of the leases. Raises CommandError and OSError. May be repeated."""
    for family in (4, 6):
        await remove_iptables(family)
        await remove_nftables(family)
    kernel = Kernel()
    for route in kernel.present().values():
        kernel.delete(route)
    kernel.ensure_tunnel(None)
    if conf_dir is not None:
        conflist.remove(conf_dir, data_dir)


async def remove_iptables(family: int) -> None:
    """The chains of iptables mode, where iptables is installed. Raises CommandError and OSError."""
    netfilter = Iptables(family)
    try:
        saved = await netfilter.save()
    except CommandNotFound:
        return  # nothing of ours can be in it
    except CommandError:
        if family == 6:
            return  # a kernel without IPv6
        raise
    guarded = saved.get("filter", SavedTable()).rules.get(FIREWALL, 0) > 0
    if text := render_cleanup(saved):
        await netfilter.restore([text])
    if guarded and family == 4:
        # The chain KUBE-FIREWALL kept neighbours from this node's 127.0.0.0/8 (CVE-2020-8558), which this opens.
        _ROUTE_LOCALNET.write_text("0")


async def remove_nftables(family: int) -> None:
    """The table of nftables mode, where nft is installed. Raises CommandError and OSError."""
    try:
        await NftKernel(family).remove()
    except CommandNotFound:
        return
