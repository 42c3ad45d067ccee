"""Running commands on a machine and moving files there, whatever the machine is made of."""

from __future__ import annotations

import io
import shlex
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from provisioner.errors import LabError

#: Unpacks a tar archive from standard input: files are replaced, never written into; directories stay as they are.
UNPACK = "tar -x --no-same-owner -p -m --no-overwrite-dir -f -"


@dataclass(frozen=True, slots=True)
class Result:
    """A command that ended. ``code`` is the shell's exit code (128 + N for signal N)."""

    command: str
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")


class ShellError(LabError):
    """The machine cannot be talked to: not there, connection lost, or no answer in time."""


class CommandFailed(LabError):
    """A command on a machine ended with another code than 0; the message holds its last words."""

    def __init__(self, machine: str, result: Result) -> None:
        self.result = result
        words = result.stderr.decode(errors="replace").strip() or result.text.strip()
        first = result.command.strip().splitlines()[0][:120]
        super().__init__(f"{machine}: `{first}` ended with code {result.code}: {words[-1500:]}")


@dataclass(frozen=True, slots=True)
class File:
    """A file to be put on a machine, owned by root."""

    data: bytes
    mode: int = 0o644


class Shell(ABC):
    """A root shell on one machine. Thread-safe as far as one command after the other per thread."""

    machine: str

    @abstractmethod
    def run(self, command: str, input: bytes | None = None, timeout: float = 60.0, check: bool = True) -> Result:
        """Run ``command`` with ``/bin/sh``; ``input`` is its standard input; ``timeout`` in seconds.

        Raises ``CommandFailed`` (unless ``check`` is false) and ``ShellError`` (no machine, no end in time).
        """

    @abstractmethod
    def interact(self, command: str) -> int:
        """Give the person's terminal to ``command`` (a login shell when empty); returns its exit code."""

    def close(self) -> None:
        """Let go of the connection. Safe to call twice."""
        return

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file, whole or not at all, making missing directories."""
        self.put_all({path: File(data, mode)})

    def put_all(self, files: Mapping[str, File], timeout: float = 120.0) -> None:
        """Write many files in one go: one round trip and one process on the machine."""
        self.unpack(render_tar(files), "/", timeout=timeout)

    def unpack(self, archive: bytes, directory: str, timeout: float = 120.0) -> None:
        """Unpack a tar archive (plain or gzip) in ``directory``; files are replaced, never written into."""
        gzip = " -z" if archive[:2] == b"\x1f\x8b" else ""
        where = shlex.quote(directory)
        self.run(
            f"umask 022 && mkdir -p {where} && {UNPACK}{gzip} -C {where}",
            archive,
            timeout=timeout,
        )

    def get(self, path: str) -> bytes:
        """A file's content. Raises ``CommandFailed`` when it cannot be read."""
        return self.run(f"cat -- {shlex.quote(path)}").stdout


def render_tar(files: Mapping[str, File]) -> bytes:
    """A tar archive of ``files`` (absolute path → file); equal input gives equal bytes.

    Without entries for the directories: tar makes those that are missing, by the umask. One that is there must not be
    touched even for a moment (tar closes a directory that it has an entry for while it fills it, and opens it again to
    what it had found): machines of the netns driver share /var with each other and with the host.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(file.data), file.mode
            archive.addfile(entry, io.BytesIO(file.data))
    return buffer.getvalue()
