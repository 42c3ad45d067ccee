"""Disks of netns machines: sparse files, plugged in as loop devices (loop(4)).

The machines share the host's devices, so who a disk is attached to is a note beside the file. That the device is this
disk shows in /sys/block/loopN/loop/backing_file.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
from pathlib import Path

from apimachinery.kit.commands import CommandError, Completed, run
from apimachinery.kit.files import write_atomic
from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.provider import CloudProblem, DiskInUse, DiskNotFound, DiskProblem

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")


class LoopDisks:
    """folder: holds a file `ID.img` for each disk, and `ID.json` while it is attached. patience: seconds that a device
    may be held after its last file system was unmounted."""

    def __init__(self, lab: LabFile, folder: Path, patience: float = 10.0) -> None:
        self._lab, self._folder, self._patience = lab, folder, patience
        self._lock = asyncio.Lock()

    async def create(self, disk: str, size: int) -> int:
        image = self._image(disk)
        async with self._lock:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                if image.exists():
                    return _enough(disk, image.stat().st_size, size)
                part = image.with_suffix(".part")
                try:
                    with part.open("wb") as file:
                        file.truncate(size)
                    part.rename(image)
                finally:
                    part.unlink(missing_ok=True)
            except OSError as error:
                raise DiskProblem(f"disk {disk}: {error}") from error
        return size

    async def delete(self, disk: str) -> None:
        image = self._image(disk)
        async with self._lock:
            if machine := self._machine(disk):
                raise DiskInUse(f"disk {disk} is attached to {machine}")
            # Nobody's any more, but still plugged in: broken off while it was detached.
            await self._unplug(disk)
            try:
                image.unlink(missing_ok=True)
            except OSError as error:
                raise DiskProblem(f"disk {disk}: {error}") from error

    async def attach(self, disk: str, machine: str) -> str:
        image = self._existing(disk)
        async with self._lock:
            if machine not in self._machines():
                raise DiskNotFound(f"there is no machine {machine}")
            holder = self._machine(disk)
            if holder not in ("", machine):
                raise DiskInUse(f"disk {disk} is attached to {holder}")
            # The note first: what is plugged in is never nobody's.
            write_atomic(self._note(disk), json.dumps({"machine": machine}))
            try:
                if device := await _device_of(image):
                    return device
                plugged = await _losetup("--find", "--show", "--nooverlap", str(image))
            except CommandError as error:
                raise DiskProblem(f"disk {disk}: {error}") from error
            return plugged.text.strip()

    async def detach(self, disk: str, machine: str) -> None:
        async with self._lock:
            if self._machine(disk) != machine:
                return
            await self._unplug(disk)
            self._note(disk).unlink(missing_ok=True)

    async def resize(self, disk: str, size: int) -> int:
        image = self._existing(disk)
        async with self._lock:
            present = image.stat().st_size
            if size <= present:
                return present
            try:
                os.truncate(image, size)
                if device := await _device_of(image):
                    await _losetup("--set-capacity", device)
            except (OSError, CommandError) as error:
                raise DiskProblem(f"disk {disk}: {error}") from error
        return size

    async def attached(self) -> dict[str, str]:
        notes = sorted(self._folder.glob("*.json"))
        held = {note.stem: self._machine(note.stem) for note in notes}
        try:
            return {disk: machine for disk, machine in held.items() if machine and await _device_of(self._image(disk))}
        except CommandError as error:
            raise DiskProblem(str(error)) from error

    async def _unplug(self, disk: str) -> None:
        """Raises DiskProblem while something on this host uses the device: taking it away would lose what it wrote."""
        image = self._image(disk)
        try:
            device = await _device_of(image)
            if not device:
                return
            await _until_free(device, self._patience)
            await _losetup("--detach", device)
        except CommandError as error:
            raise DiskProblem(f"disk {disk}: {error}") from error
        except OSError as error:
            raise DiskProblem(f"disk {disk}: {device} is still in use: {error.strerror}") from error

    def _machines(self) -> set[str]:
        try:
            return set(self._lab.load().machines)
        except CloudProblem as error:
            raise DiskProblem(str(error)) from error

    def _machine(self, disk: str) -> str:
        try:
            return str(json.loads(self._note(disk).read_text())["machine"])
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError) as error:
            raise DiskProblem(f"disk {disk}: {type(error).__name__}: {error}") from error

    def _existing(self, disk: str) -> Path:
        image = self._image(disk)
        if not image.exists():
            raise DiskNotFound(f"there is no disk {disk}")
        return image

    def _image(self, disk: str) -> Path:
        if not _ID.fullmatch(disk):
            raise DiskNotFound(f"{disk!r} is no disk's id")
        return self._folder / f"{disk}.img"

    def _note(self, disk: str) -> Path:
        return self._image(disk).with_suffix(".json")


def _enough(disk: str, present: int, asked: int) -> int:
    if present < asked:
        raise DiskProblem(f"disk {disk} exists with {present} bytes, less than {asked}")
    return present


async def _until_free(device: str, patience: float) -> None:
    """Raises OSError: something holds the device, after as long as the kernel may take to let go of it."""
    end = asyncio.get_running_loop().time() + patience
    while True:
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.EBUSY or asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def _device_of(image: Path) -> str:
    """The loop device of a file, "" for none."""
    if not image.exists():
        return ""
    shown = await _losetup("--noheadings", "--output", "NAME", "--associated", str(image))
    return shown.text.split("\n")[0].strip()


async def _losetup(*words: str) -> Completed:
    return await run("losetup", *words)
