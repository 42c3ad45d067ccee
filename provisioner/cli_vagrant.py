"""``kubelab vagrant``: what the Vagrantfile asks for. ``kubelab up --driver vagrant`` does the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from apimachinery.kit.files import write_atomic
from provisioner import lifecycle
from provisioner.drivers.libvirtd import can_accelerate
from provisioner.drivers.vagrant import VagrantDriver
from provisioner.errors import BadInput, LabError
from provisioner.home import LabHome, find_home
from provisioner.spec import MIB, Driver, Lab
from provisioner.specfile import load_lab
from provisioner.specvalues import GIB

app = typer.Typer(help="What the Vagrantfile calls.", no_args_is_help=True)
LabFile = Annotated[Path, typer.Option("--file", "-f", help="The lab file.")]


@app.command()
def describe(file: LabFile = Path("lab.yaml")) -> None:
    """The lab in the Vagrantfile's terms, as JSON. Changes nothing."""
    lab, home = load_lab(file, driver=Driver.VAGRANT), find_home()
    box = find_box(home)
    print(json.dumps(describe_lab(lab, LabHome(home, lab.name), box, kvm=can_accelerate())))


@app.command()
def prepare(data: Path, file: LabFile = Path("lab.yaml")) -> None:
    """Make the lab's network and storage pool, before Vagrant makes machines. DATA: the project's .vagrant folder."""
    lab, home = load_lab(file, driver=Driver.VAGRANT), find_home()
    place = LabHome(home, lab.name)
    if not place.exists and find_box(home) is None:
        raise LabError("there is no box", advice="kubelab image box makes it.")
    if place.exists and (problems := lifecycle.check_change(place.load(), lab)):
        raise BadInput(problems, advice="Remove the other lab first, or give this one another name.")
    driver = VagrantDriver(lab, place)
    if problems := driver.problems():
        raise BadInput(problems)
    with place.locked():
        place.create(lab)
        write_atomic(place.vagrant, str(data.absolute()))
        driver.ensure_network()
        driver.ensure_pool()


@app.command()
def forget(file: LabFile = Path("lab.yaml")) -> None:
    """Remove what is left of the lab once Vagrant has removed its last machine; before that nothing happens."""
    lab = load_lab(file, driver=Driver.VAGRANT)
    place = LabHome(find_home(), lab.name)
    if not place.exists or place.load().driver is not Driver.VAGRANT:
        return
    driver = VagrantDriver(lab, place)
    if not any(driver.made(machine) for machine in place.load().machines):
        lifecycle.destroy(place)
        print(f"{place.name} is gone")


def find_box(home: Path) -> Path | None:
    """The newest box that ``kubelab image box`` made."""
    found = (home / "images/box").glob("[0-9a-f]*/kubelab.box")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def describe_lab(lab: Lab, place: LabHome, box: Path | None, *, kvm: bool) -> dict[str, Any]:
    """What the Vagrantfile needs to know: memory in MiB; the box's name changes with its content, so that Vagrant
    never takes an old one for it."""
    return {
        "name": f"kubelab-{lab.name}",
        "network": str(lab.network),
        "driver": "kvm" if kvm else "qemu",
        "box": f"kubelab-{box.parent.name}" if box else "kubelab",
        "box_url": str(box) if box else None,
        "machines": [
            {
                "name": machine.name,
                "ip": machine.ip,
                "mac": machine.mac,
                "vcpus": machine.size.vcpus,
                "memory": machine.size.memory // MIB,
                "disk": -(-machine.size.disk // GIB),
                "console": str(place.console(machine.name)),
            }
            for machine in lab.machines
        ],
    }
