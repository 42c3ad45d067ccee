"""Hypervisor drivers: what a lab's machines are made of."""

from __future__ import annotations

from provisioner.drivers.base import CodeArchive, Driver, Local, Report, State
from provisioner.home import LabHome
from provisioner.spec import Driver as DriverName
from provisioner.spec import Lab

__all__ = ["CodeArchive", "Driver", "Local", "Report", "State", "make_driver"]


def make_driver(lab: Lab, home: LabHome) -> Driver:
    """The driver that the lab names. Imports only that one: libvirt and paramiko cost a third of a second."""
    if lab.driver is DriverName.LIBVIRT:
        from provisioner.drivers.libvirt import LibvirtDriver

        return LibvirtDriver(lab, home)
    if lab.driver is DriverName.VAGRANT:
        from provisioner.drivers.vagrant import VagrantDriver

        return VagrantDriver(lab, home)
    from provisioner.drivers.netns import NetnsDriver

    return NetnsDriver(lab, home)
