"""Disks in libvirt's words (https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms). Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree as xml

_ID = re.compile(r"vol-[0-9a-f]{16}")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def render_volume(disk: str, size: int) -> str:
    """The file of a disk: sparse, for otherwise libvirt would write its whole capacity."""
    volume = xml.Element("volume")
    xml.SubElement(volume, "name").text = f"{disk}.qcow2"
    xml.SubElement(volume, "allocation", unit="bytes").text = "0"
    xml.SubElement(volume, "capacity", unit="bytes").text = str(size)
    xml.SubElement(xml.SubElement(volume, "target"), "format", type="qcow2")
    return xml.tostring(volume, encoding="unicode")


def render_disk(disk: str, path: str, target: str) -> str:
    """The device. serial: at most 20 bytes, which the machine reads in /sys/block/*/serial.

    The writes of a cluster's data are flushed when the machine asks for it, unlike those of its root disk.
    """
    device = xml.Element("disk", type="file", device="disk")
    xml.SubElement(device, "driver", name="qemu", type="qcow2", discard="unmap")
    xml.SubElement(device, "source", file=path)
    xml.SubElement(device, "target", dev=target, bus="virtio")
    xml.SubElement(device, "serial").text = disk
    return xml.tostring(device, encoding="unicode")


def disks_of(domain: str) -> dict[str, str]:
    """Our disks in a domain's definition, by id: the device's own XML, with which it is detached."""
    found = {}
    for device in xml.fromstring(domain).findall("./devices/disk"):
        serial = device.findtext("serial") or ""
        if _ID.fullmatch(serial):
            found[serial] = xml.tostring(device, encoding="unicode")
    return found


def free_target(*domains: str) -> str:
    """A device name (vdb … vdzz) that none of the definitions has. Raises OSError when there is none."""
    taken = set(re.findall(r"<target [^>]*dev=['\"]([a-z]+)['\"]", "".join(domains)))
    names = [*_LETTERS, *(first + second for first in _LETTERS for second in _LETTERS)]
    for name in names:
        if f"vd{name}" not in taken:
            return f"vd{name}"
    raise OSError("no name for one more disk is free")
