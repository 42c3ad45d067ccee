"""File systems on block devices: looked for, made on an empty device, checked, mounted (mount-utils mount_linux.go)."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from apimachinery.kit.commands import Completed
from apimachinery.meta.go_print import quoted

from . import mounts

Run = Callable[..., Awaitable[Completed]]
"""`apimachinery.kit.commands.run`."""

_FSCK_UNCORRECTED = 4
_MAKE = 300.0  # seconds


class MountProblem(Exception):
    """The text is upstream's, with the command and what it said."""


def is_block_device(path: Path) -> bool:
    """Whether the path is, or leads to, a block device. Raises OSError."""
    return stat.S_ISBLK(path.stat().st_mode)


def make_arguments(kind: str, device: str) -> list[str]:
    """The command that makes a file system. Pure."""
    options = {"ext4": ["-F", "-m0"], "ext3": ["-F", "-m0"], "xfs": ["-f"]}
    return [f"mkfs.{kind}", *options.get(kind, ()), device]


async def ensure_mounted(
    run: Run, device: Path, target: Path, kind: str, *, options: Sequence[str] = (), read_only: bool = False
) -> None:
    """Mount the device's file system on `target`; an empty device gets one of `kind` first. Raises MountProblem.

    A device with anything on it is never formatted. What it has may be mounted as `kind` all the same (ext3 as ext4);
    if not, the kernel says so.
    """
    found = await probe(run, device)
    options = [*(["ro"] if read_only else []), *options]
    if found and "ro" not in options:
        checked = await run("fsck", "-a", str(device), timeout=_MAKE, check=False)
        if checked.code == _FSCK_UNCORRECTED:
            raise MountProblem(f"'fsck' found errors on device {device} but could not correct them: {_said(checked)}")
    if not found:
        await _make(run, device, target, kind, options)
    await mount(run, str(device), target, kind, [*options, "defaults"])


async def _make(run: Run, device: Path, target: Path, kind: str, options: Sequence[str]) -> None:
    if "ro" in options:
        raise MountProblem(f"cannot mount unformatted disk {device} as we are manipulating it in read-only mode")
    made = await run(*make_arguments(kind, str(device)), timeout=_MAKE, check=False)
    if made.code != 0:
        given = quoted(",".join([*options, "defaults"]))
        raise MountProblem(
            f"format of disk {quoted(str(device))} failed: type:({quoted(kind)}) target:({quoted(str(target))}) "
            f"options:({given}) errcode:(exit status {made.code}) output:({_said(made)}) "
        )


async def probe(run: Run, device: Path) -> str:
    """What is on the device: the type of its file system, a word for a partition table, "" for nothing."""
    looked = await run("blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", str(device), check=False)
    if looked.code == 2:
        return ""
    if looked.code != 0:
        raise MountProblem(f"failed to get disk format of disk {device}: exit status {looked.code}")
    told = dict(line.split("=", 1) for line in looked.stdout.decode().splitlines() if "=" in line)
    if told.get("PTTYPE"):
        return "unknown data, probably partitions"
    return told.get("TYPE", "")


async def mount(run: Run, source: str, target: Path, kind: str, options: Sequence[str]) -> None:
    """mount(8), for file systems that have helpers of their own. Raises MountProblem."""
    arguments = ["-t", kind, *(["-o", ",".join(options)] if options else []), source, str(target)]
    done = await run("mount", *arguments, timeout=120.0, check=False)
    if done.code != 0:
        raise _failed(done, arguments)


async def restrict(run: Run, target: Path, options: Sequence[str], *, read_only: bool) -> None:
    """Give options of their own to a folder that is bound to another. Raises MountProblem; then it is not bound."""
    arguments = ["-o", ",".join(["bind", "remount", *(["ro"] if read_only else []), *options]), str(target)]
    done = await run("mount", *arguments, check=False)
    if done.code != 0:
        with contextlib.suppress(OSError):
            mounts.unmount(str(target))
        raise _failed(done, arguments)


def _failed(done: Completed, arguments: Sequence[str]) -> MountProblem:
    return MountProblem(
        f"mount failed: exit status {done.code}\nMounting command: mount\n"
        f"Mounting arguments: {' '.join(arguments)}\nOutput: {_said(done)}\n"
    )


def _said(done: Completed) -> str:
    return (done.stdout + done.stderr).decode(errors="replace").strip()
