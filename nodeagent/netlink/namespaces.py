# ruff: noqa: PTH116
# pathlib costs milliseconds of start-up, and this is started for every pod.
"""Working inside another network namespace for a moment (setns(2), network_namespaces(7))."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

CLONE_NEWNET = 0x40000000
OWN = "/proc/thread-self/ns/net"


class NamespaceGone(OSError):
    """There is no network namespace at that path (any more)."""


def open_namespace(path: str) -> int:
    """A file descriptor of the namespace; the caller closes it. Raises NamespaceGone."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NamespaceGone(error.errno, error.strerror, path) from None


def inside(namespace: int, work: Callable[[], T]) -> T:
    """What `work` returns, run with the calling thread in the namespace; afterwards the thread is back.

    Raises NamespaceGone when the descriptor is no network namespace: an unmounted one leaves a plain file.
    """
    back = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            _setns(namespace)
        except OSError as error:
            raise NamespaceGone(error.errno, error.strerror) from None
        try:
            return work()
        finally:
            _setns(back)
    finally:
        os.close(back)


def is_own(path: str) -> bool:
    """Whether `path` is the namespace that the calling thread is in. False for a path that does not exist."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    here = os.stat(OWN)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _setns(descriptor: int) -> None:
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(descriptor, CLONE_NEWNET)
        return
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
