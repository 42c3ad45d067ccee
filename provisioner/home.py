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
from provisioner.specfile import load_lab
from provisioner.specjson import dump_lab, restore_lab

DEFAULT = Path("/var/lib/kubelab")
_LOST = "What is left of one whose folder was deleted: kubelab destroy --file LABFILE."


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

    @property
    def cloud_config(self) -> Path:
        """What the cloud controller manager, which runs on this host, is told of the lab."""
        return self.root / "cloud.json"

    @property
    def cloud_conf(self) -> Path:
        """Its kubeconfig."""
        return self.root / "cloud-controller-manager.conf"

    @property
    def cloud_process(self) -> Path:
        """Which process it is, and what code it runs."""
        return self.root / "cloud-process.json"

    @property
    def cloud_log(self) -> Path:
        """What it says."""
        return self.root / "cloud-controller-manager.log"

    @property
    def cloud_socket(self) -> Path:
        """Where it can be looked into."""
        return self.root / "cloud.sock"

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
        """Keep other runs off this lab. Raises ``LabError`` at once when one is under way.

        The kernel lets go of the lock of a process that was killed, so that none is ever stale.
        """
        self.root.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, which destroy removes.
        path = self.root.parent / f".{self.name}.lock"
        while True:
            with path.open("a+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    who = f" (process {pid})" if (pid := file.read().strip()) else ""
                    what = f"another kubelab{who} is at work on the lab {self.name}"
                    raise LabError(what, advice="Wait for it, or stop it with Ctrl-C.") from None
                if not _is_open_as(path, file.fileno()):
                    continue  # removed by the one that had it
                try:
                    file.truncate(0)
                    file.write(f"{os.getpid()}\n")
                    file.flush()
                    yield
                finally:
                    if not self.root.exists():
                        path.unlink(missing_ok=True)
                return

    def load(self) -> Lab:
        """The lab as it was last brought up. Raises ``LabError`` when that cannot be read."""
        try:
            return restore_lab(self.lab_file.read_text())
        except (ValueError, KeyError, TypeError) as error:
            why = f"{self.lab_file} is damaged: {type(error).__name__}: {error}"
            raise LabError(why, advice="Delete it; kubelab up writes it again from the lab file.") from None

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.root)


def _is_open_as(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


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
            raise BadInput([f"there is no lab in {home}"], advice=f"kubelab up makes one. {_LOST}")
        raise BadInput(
            [f"there are several labs: {', '.join(known)}"], advice="Name one with --lab, or set KUBELAB_LAB."
        )
    if name not in known:
        there = ", ".join(known) or "none"
        raise BadInput([f"there is no lab {name!r} in {home}; there are: {there}"], advice=_LOST)
    return LabHome(home, name)


def find_kubeconfig(given: Path | None, lab: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The one that was named, else ``$KUBECONFIG``'s first unless a lab was named, else the lab's administrator's.

    Raises ``BadInput`` as ``find_lab``.
    """
    if given is not None:
        return given
    if lab is None and environment.get("KUBECONFIG"):
        return Path(environment["KUBECONFIG"].partition(os.pathsep)[0])
    return find_lab(find_home(environment), lab).admin_conf
