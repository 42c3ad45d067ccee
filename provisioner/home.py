"""Where things are on the host: ``$KUBELAB_HOME`` (default ``/var/lib/kubelab``) and one folder per lab in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from apimachinery.kit.files import write_atomic
from provisioner.errors import BadInput, LabError
from provisioner.spec import Lab
from provisioner.specfile import dump_lab, load_lab, restore_lab

DEFAULT = Path("/var/lib/kubelab")


def find_home(environment: Mapping[str, str] = os.environ) -> Path:
    """``$KUBELAB_HOME``, absolute."""
    return Path(environment.get("KUBELAB_HOME") or DEFAULT).absolute()


class LabHome:
    """One lab's folder: everything known about it, and everything that ``destroy`` removes."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name
        self.root = home / "labs" / name

    @property
    def images(self) -> Path:
        return self.home / "images"

    @property
    def journal(self) -> Path:
        return self.root / "journal.json"

    @property
    def secrets(self) -> Path:
        """The folder that ``ensure_cluster_pki`` fills: ``pki/`` and the kubeconfigs, as on a master."""
        return self.root

    @property
    def admin_conf(self) -> Path:
        return self.root / "admin.conf"

    @property
    def ssh(self) -> Path:
        return self.root / "ssh"

    @property
    def kubectl(self) -> Path:
        """A link to the kubectl that fits the lab's version."""
        return self.root / "kubectl"

    @property
    def inventory(self) -> Path:
        return self.root / "inventory"

    @property
    def disks(self) -> Path:
        return self.root / "disks"

    @property
    def lab_file(self) -> Path:
        return self.root / "lab.json"

    @property
    def vagrant(self) -> Path:
        """Holds the path of the folder where Vagrant keeps what it knows of its project's machines."""
        return self.root / "vagrant"

    def console(self, machine: str) -> Path:
        return self.disks / f"{machine}.console.log"

    def machine_dir(self, machine: str) -> Path:
        """What the netns driver keeps of one machine."""
        return self.root / "machines" / machine

    @property
    def exists(self) -> bool:
        return self.lab_file.exists()

    def create(self, lab: Lab) -> None:
        """Make the folder and remember the lab, so that every other command works without the lab file."""
        self.root.mkdir(parents=True, exist_ok=True)
        # Traversable, because QEMU runs as another user and reaches the disks through it; secrets are closed below.
        self.root.chmod(0o711)
        self.disks.mkdir(exist_ok=True)
        self.disks.chmod(0o711)
        for private in (self.root / "pki", self.ssh):
            private.mkdir(exist_ok=True)
            private.chmod(0o700)
        write_atomic(self.lab_file, dump_lab(lab))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs off this lab. Raises ``LabError`` at once when one is under way."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, which destroy removes.
        with (self.root.parent / f".{self.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(f"another kubelab is at work on the lab {self.name}", advice="Wait for it.") from None
            yield

    def load(self) -> Lab:
        """The lab as it was last brought up."""
        return restore_lab(self.lab_file.read_text())

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.root)


def known_labs(home: Path) -> list[str]:
    """Names of the labs that have a folder, sorted."""
    return sorted(path.parent.name for path in (home / "labs").glob("*/lab.json"))


def find_lab(home: Path, name: str | None) -> LabHome:
    """The lab called ``name`` or ``$KUBELAB_LAB``; without a name the one of ./lab.yaml, or the only one there is.

    Raises ``BadInput`` when that is not clear.
    """
    known = known_labs(home)
    name = name or os.environ.get("KUBELAB_LAB") or None
    if (
        name is None
        and len(known) > 1
        and Path("lab.yaml").is_file()
        and (here := load_lab(Path("lab.yaml")).name) in known
    ):
        name = here
    if name is None:
        if len(known) == 1:
            return LabHome(home, known[0])
        if not known:
            raise BadInput([f"there is no lab in {home}"], advice="kubelab up makes one.")
        raise BadInput([f"there are several labs: {', '.join(known)}"], advice="Name one with --lab.")
    if name not in known:
        raise BadInput([f"there is no lab {name!r} in {home}; there are: {', '.join(known) or 'none'}"])
    return LabHome(home, name)
