"""`kube-proxy --cleanup`: removes what we put into the kernel, and nothing else."""

from __future__ import annotations

from apimachinery.kit.commands import CommandNotFound
from nodeagent.routes.keeper import Kernel

from .iptables import Iptables
from .saved import render_cleanup


async def clean_up() -> None:
    """Rules and chains of both families, and routes. Raises CommandError. May be repeated."""
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
