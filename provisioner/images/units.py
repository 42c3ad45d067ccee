"""What the guest starts at boot, from ``images/guest/units.txt``; and the removal of what must differ per machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner.images.errors import ImageError


def apply(tree: Path, lines: Sequence[str]) -> None:
    """Carry out the lines of units.txt (its head explains the verbs) in ``tree``. Raises ``ImageError`` for a bad
    line."""
    system = tree / "etc/systemd/system"
    for line in lines:
        match line.split():
            case ["mask", unit]:
                _point_at_null(system / unit)
            case ["unwant", target, unit]:
                _point_at_null(system / f"{target}.wants" / unit)
            case ["disable", unit]:
                for wanted in system.glob(f"*.wants/{unit}"):
                    wanted.unlink()
            case ["generator", name]:
                _point_at_null(tree / "etc/systemd/system-generators" / name)
            case _:
                raise ImageError(f"images/guest/units.txt: cannot read {line!r}")


def anonymise(tree: Path) -> None:
    """Remove what identifies a machine or was only needed while building: host keys, machine-id, host name, logs,
    caches.

    An empty machine-id makes systemd choose one for that boot without running its first-boot units (machine-id(5)).
    """
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")
    (tree / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (tree / "etc/hostname").write_text("kubelab\n")
    (tree / "etc/hosts").write_text("127.0.0.1\tlocalhost kubelab\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    resolv = tree / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.write_text("")
    for folder in ("var/log", "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "tmp", "run"):
        for path in (tree / folder).glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    shadow = tree / "etc/shadow"
    # '*' is no password at all; '!' would make sshd without PAM refuse the account even with a key.
    lines = [":".join([line.split(":")[0], "*", *line.split(":")[2:]]) for line in shadow.read_text().splitlines()]
    shadow.write_text("\n".join(lines) + "\n")


def _point_at_null(link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/dev/null")
