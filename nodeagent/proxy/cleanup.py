"""`kube-proxy --cleanup`: removes what we put into the kernel, and nothing else."""

from __future__ import annotations

from pathlib import Path

from apimachinery.kit.commands import CommandNotFound
from nodeagent.routes import conflist
from nodeagent.routes.kernel import Kernel

from .iptables.command import Iptables
from .iptables.saved import render_cleanup


async def clean_up(conf_dir: Path | None = None, data_dir: str = "") -> None:
    """Rules and chains of both families, routes, the tunnel, and, unless pods are left, the network configuration in
    `conf_dir`. data_dir: of the leases. Raises CommandError and OSError. May be repeated."""
    for family in (4, 6):
        netfilter = Iptables(family)
        try:
            text = render_cleanup(await netfilter.save())
        except CommandNotFound:
            if family == 6:
                continue  # IPv6 is not installed here: nothing of ours is in it
            raise
        await netfilter.restore(text)
    kernel = Kernel()
    for route in kernel.present().values():
        kernel.delete(route)
    kernel.ensure_tunnel(None)
    if conf_dir is not None:
        conflist.remove(conf_dir, data_dir)
