"""Joins the parts of the provider."""

from __future__ import annotations

from pathlib import Path

from controlplane.cloud.kubelab.balancers import LabBalancers
from controlplane.cloud.kubelab.instances import LabInstances
from controlplane.cloud.kubelab.lab import SCHEME, LabFile
from controlplane.cloud.kubelab.libvirt_disks import LibvirtDisks
from controlplane.cloud.kubelab.loop_disks import LoopDisks
from controlplane.cloud.kubelab.power import make_hypervisor
from controlplane.cloud.kubelab.routes import HostRoutes
from controlplane.cloud.provider import Cloud


def make_cloud(config: Path) -> Cloud:
    """config: the cloud configuration. Raises CloudProblem when it cannot be read."""
    lab = LabFile(config)
    driver = lab.load().driver
    folder = config.parent / "volumes"
    disks = LoopDisks(lab, folder) if driver == "netns" else LibvirtDisks(lab, folder)
    return Cloud(SCHEME, LabInstances(lab, make_hypervisor(driver)), HostRoutes(lab), LabBalancers(lab), disks)
