"""``kubelab image``: what the machines start from, and what their registry serves."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from provisioner import images
from provisioner.cli_options import AsJson, LabName
from provisioner.errors import BadInput, LabError
from provisioner.home import LabHome, find_home, find_lab, known_labs
from provisioner.images import ImageError

app = typer.Typer(help="Guest and container images: build, list, prune, box, load.", no_args_is_help=True)
T = TypeVar("T")


@app.command()
def build(as_json: AsJson = False) -> None:
    """Build the guest image and the container images in it, or find them in the cache."""
    guest = _explained(lambda: images.ensure_guest_image(find_home(), _report))
    if as_json:
        print(json.dumps({"digest": guest.digest, "disk": str(guest.disk), "kernel": str(guest.kernel)}))
    else:
        print(f"{guest.digest} {guest.disk}")


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also what only makes a rebuild fast.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the cache holds, and which labs stand on it."""
    home = find_home()
    found, users = images.list_images(home), _users(home)
    if as_json:
        rows = [
            {
                "kind": each.kind,
                "name": each.name,
                "digest": each.digest,
                "path": str(each.path),
                "size": each.size,
                "created": each.created,
                "labs": users.get(each.digest, []),
            }
            for each in found
        ]
        print(json.dumps({"images": rows}, indent=2))
        return
    shown = [each for each in found if all_ or each.kind in images.ASKED_FOR]
    table = Table(box=None, pad_edge=False)
    for column in ("KIND", "NAME", "DIGEST", "SIZE", "MADE", "LABS"):
        table.add_column(column)
    for each in shown:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.created))
        labs = ",".join(users.get(each.digest, []))
        table.add_row(each.kind, each.name, each.digest, f"{each.size / 1e6:.0f} MB", made, labs)
    # Never narrower than the table: a reference or a digest is there to be copied.
    out = Console(highlight=False, soft_wrap=True, width=200)
    out.print(table)
    hidden = len(found) - len(shown)
    rest = f", {hidden} of them only make a rebuild fast (--all shows them)" if hidden else ""
    out.print(f"{sum(each.size for each in found) / 1e9:.1f} GB in {home / 'images'}: {len(found)} entries{rest}")


@app.command()
def prune(as_json: AsJson = False) -> None:
    """Remove what no lab stands on."""
    home = find_home()
    sizes = {each.path: each.size for each in images.list_images(home)}
    removed = images.prune(home, _users(home))
    freed = sum(sizes.get(path, 0) for path in removed)
    if as_json:
        print(json.dumps({"removed": [str(path) for path in removed], "bytes": freed}))
    elif removed:
        print("\n".join(str(path) for path in removed))
        print(f"{len(removed)} entries, {freed / 1e9:.1f} GB; what a lab needs of them is built again")
    else:
        print("nothing to remove")


def _users(home: Path) -> dict[str, list[str]]:
    """Which labs stand on a guest image, by its digest: a lab's kubectl is a link into the image of its disks."""
    users: dict[str, list[str]] = {}
    for name in known_labs(home):
        link = LabHome(home, name).kubectl
        if link.is_symlink():
            users.setdefault(link.resolve().parent.name, []).append(name)
    return users


@app.command()
def box(as_json: AsJson = False) -> None:
    """Make the Vagrant box that the Vagrantfile asks for."""
    path = _explained(lambda: images.build_box(find_home(), _report))
    print(json.dumps({"box": str(path)}) if as_json else path)


@app.command()
def load(
    what: Annotated[str, typer.Argument(help="An OCI archive, or the name of an image that kubelab builds.")],
    name: Annotated[str | None, typer.Option(help="The reference to give it.")] = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Add an image to the registry of every master, from which the machines pull."""
    home = find_home()
    place = find_lab(home, lab)
    archive = Path(what)
    if not archive.exists():
        built = _explained(lambda: images.ensure_oci_images(home, _report))
        matches = [image for image in built.values() if what in (image.name, image.name.split("/")[-1].split(":")[0])]
        if not matches:
            raise BadInput([f"{what} is neither a file nor one of {', '.join(image.name for image in built.values())}"])
        archive = matches[0].archive
    pushed: list[str] = []
    for master in place.load().all_masters:
        url = f"http://{master.ip}:5000"
        pushed = _explained(functools.partial(images.load_image, url, archive, name))
    print(json.dumps({"pushed": pushed}) if as_json else "\n".join(pushed))


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _explained(action: Callable[[], T]) -> T:
    try:
        images.require_recipes()
        with images.damage_explained(find_home()):
            return action()
    except ImageError as error:
        raise LabError(str(error)) from error
