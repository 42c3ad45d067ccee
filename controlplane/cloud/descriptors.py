"""The only list of the loops: what each is called, and how it is made."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.cloud import node, node_lifecycle, route, service
from controlplane.cloud.config import CloudConfig
from controlplane.cloud.context import Context, Loop
from controlplane.cloud.disk_attacher import DiskAttacher
from controlplane.cloud.disk_provisioner import DiskProvisioner
from controlplane.cloud.disk_resizer import DiskResizer


def make_loops(context: Context, config: CloudConfig) -> Iterator[Loop]:
    """Those that `--controllers` asks for and the provider has a part for."""
    cloud = context.cloud
    if config.enabled(node.NAME):
        yield node.CloudNodeController(context)
    if config.enabled(node_lifecycle.NAME):
        yield node_lifecycle.CloudNodeLifecycleController(context)
    if config.enabled(service.NAME) and cloud.balancers is not None:
        yield service.ServiceController(context, cloud.balancers)
    if config.enabled(route.NAME) and cloud.routes is not None and config.routes:
        yield route.RouteController(context, cloud.routes)
    if cloud.disks is not None:
        for each in (DiskProvisioner, DiskAttacher, DiskResizer):
            if config.enabled(each.name):
                yield each(context, cloud.disks)
