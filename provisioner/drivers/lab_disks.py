"""The disks that the cloud controller manager has made for a lab's claims go with the lab."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import libvirt


def unplug_loops(folder: Path) -> None:
    """Detach the loop devices of the files in `folder`; they are the host's, and would outlive the lab.

    The machines are off: what they had mounted is unmounted. Raises subprocess.CalledProcessError.
    """
    if not folder.is_dir():
        return
    listed = subprocess.run(
        ["losetup", "--json", "--list", "--output", "NAME,BACK-FILE"], capture_output=True, check=True
    )
    for each in json.loads(listed.stdout or b"{}").get("loopdevices") or ():
        if str(each["back-file"]).startswith(f"{folder}/"):
            subprocess.run(["losetup", "--detach", each["name"]], capture_output=True, check=True)


def remove_pool(connection: Any, lab: str) -> None:
    """Forget the storage pool of the lab's disks; its files are in the lab's folder. Raises libvirt.libvirtError."""
    try:
        pool = connection.storagePoolLookupByName(f"kubelab-{lab}-volumes")
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
            return
        raise
    if pool.isActive():
        pool.destroy()
    pool.undefine()
