"""Running the programs that build images, and saying which Debian package a missing one is in."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
#: Seconds between looks at whether to stop, and for a program to clean up behind itself.
_LOOK, _END = 0.3, 10.0
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
    path = _search_path()
    if shutil.which(words[0], path=path) is None:
        if words[0] in PACKAGES:
            require_tools(words[0])
        raise ImageError(f"{words[0]}: no such program")
    try:
        # From a file, not a pipe: communicate() does not go on writing after a timeout of its own.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(input or b"")
            stdin.seek(0)
            # Told to end when this process is killed: it would go on writing where the next build cleans up.
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *words],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", **(env or {})},
            )
        stdout, stderr = _communicate(process)
    except OSError as e:
        raise os_error(e) from e
    if process.returncode != 0:
        output = (stderr + b"\n" + stdout).decode(errors="replace")
        raise ImageError(failure_text(words[0], process.returncode, output))
    return stdout


@contextlib.contextmanager
def stoppable(stopped: Callable[[], bool]) -> Iterator[None]:
    """Programs that run inside end early, with ``ImageError``, when ``stopped()`` becomes true. For one caller at a
    time: builds of one process follow each other."""
    global _stopped
    before, _stopped = _stopped, stopped
    try:
        yield
    finally:
        _stopped = before


def _never() -> bool:
    return False


_stopped: Callable[[], bool] = _never


def _communicate(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        while True:
            try:
                return process.communicate(timeout=_LOOK)
            except subprocess.TimeoutExpired:
                if _stopped():
                    raise ImageError("stopped") from None
    except BaseException:
        process.terminate()
        try:
            process.communicate(timeout=_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise


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
