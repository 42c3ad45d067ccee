"""Joins the parts of the provider."""

from __future__ import annotations

from pathlib import Path

from controlplane.cloud.kubelab.balancers import LabBalancers
from controlplane.cloud.kubelab.instances import LabInstances
from controlplane.cloud.kubelab.lab import SCHEME, LabFile
from controlplane.cloud.kubelab.power import make_hypervisor
from controlplane.cloud.kubelab.routes import HostRoutes
from controlplane.cloud.provider import Cloud


def make_cloud(config: Path) -> Cloud:
    """config: the cloud configuration. Raises CloudProblem when it cannot be read."""
    lab = LabFile(config)
    return Cloud(SCHEME, LabInstances(lab, make_hypervisor(lab.load().driver)), HostRoutes(lab), LabBalancers(lab))
