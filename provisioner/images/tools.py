"""Running the programs that build images, and saying which Debian package a missing one is in."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from provisioner.images.errors import ImageError

#: Program → the Debian package (bookworm and trixie) that has it.
PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "mkfs.fat": "dosfstools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "gcc": "gcc libc6-dev",
    "strip": "binutils",
    "busybox": "busybox-static",
    "dpkg-deb": "dpkg",
    "unshare": "util-linux",
    "apt-get": "apt",
}

#: Lines of a failed program's output that go into the error message.
_TAIL = 12


def missing_tools(names: Sequence[str]) -> dict[str, str]:
    """Those of ``names`` that are not on the PATH, each with the Debian package that holds it."""
    return {name: PACKAGES[name] for name in names if shutil.which(name, path=_search_path()) is None}


def require_tools(*names: str) -> None:
    """Raise ``ImageError`` naming everything missing at once and the command that installs it."""
    if missing := missing_tools(names):
        packages = " ".join(sorted(set(missing.values())))
        raise ImageError(f"building images needs {', '.join(missing)}: apt-get install {packages} (or: make setup)")


def run_tool(
    *argv: str | Path,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> bytes:
    """Run a program to its end and return its standard output. ``env`` is added to the environment.

    Raises ``ImageError`` with the program's last lines when it fails, and a sentence of advice where the cause is
    known.
    """
    words = [str(a) for a in argv]
    try:
        done = subprocess.run(
            words,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            cwd=cwd,
            check=False,
            env={**os.environ, "PATH": _search_path(), "LC_ALL": "C.UTF-8", **(env or {})},
        )
    except FileNotFoundError:
        if words[0] in PACKAGES:
            require_tools(words[0])
        raise ImageError(f"{words[0]}: no such program") from None
    except OSError as e:
        raise os_error(e) from e
    if done.returncode != 0:
        output = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
        raise ImageError(failure_text(words[0], done.returncode, output))
    return done.stdout


def failure_text(program: str, code: int, output: str) -> str:
    """One message out of a failed program's output: its last lines, and what to do about the known causes."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    advice = ""
    if "No space left on device" in output:
        advice = "\nThe disk is full: free some gigabytes (kubelab image prune), then run the same command again."
    elif any(
        s in output
        for s in ("Temporary failure resolving", "Could not connect", "Failed to fetch", "Network is unreachable")
    ):
        advice = "\nA package mirror does not answer: check the network, then run the same command again."
    elif "No matching distribution found" in output or "NewConnectionError" in output:
        advice = (
            "\nThe Python package index does not answer or lacks a locked version: check the network, then try again."
        )
    elif "NO_PUBKEY" in output or "not signed" in output:
        advice = "\nThe mirror is not signed by a key of debian-archive-keyring: is it a Debian mirror?"
    tail = "\n".join(f"  {line}" for line in lines[-_TAIL:])
    return f"{program} failed (exit code {code}){':' if tail else ''}\n{tail}{advice}"


def os_error(e: OSError) -> ImageError:
    """The same trouble in words that say what to do."""
    if e.errno == errno.ENOSPC:
        return ImageError(
            f"no space left on the disk while writing {e.filename or 'an image'}: free some gigabytes, then try again"
        )
    if e.errno in (errno.EACCES, errno.EPERM):
        return ImageError(f"no permission for {e.filename or 'a step of the build'}: images are built as root (sudo)")
    return ImageError(str(e))


def _search_path() -> str:
    """PATH with the administrator's folders, which a plain user's PATH lacks on Debian."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
