"""Addresses in use, kept as host-local keeps them: one file for each address, so that operators find what they know.

`DATA_DIR/NETWORK/10.244.1.7` holds the container's ID, CR LF and the interface's name; `last_reserved_ip.N` the
address last given out of range set N; `lock` is locked (flock) while anything is read or written.
"""

# ruff: noqa: PTH103, PTH108, PTH118, PTH208
# pathlib costs milliseconds of start-up, and this is started for every pod.

from __future__ import annotations

import fcntl
import os

from .addresses import format_ip, parse_ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set
    from typing import Self

_SEPARATOR = "\r\n"
_LAST = "last_reserved_ip."


class Leases:
    """The leases of one network, locked while entered (`with`). Waits for the lock without a limit: holders are brief.

    A lease that cannot be read counts as somebody's: its address is not given out and it is not released.
    """

    def __init__(self, data_dir: str, network: str) -> None:
        self._directory = os.path.join(data_dir, network)
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        self._lock = -1

    def __enter__(self) -> Self:
        self._lock = os.open(os.path.join(self._directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def taken(self) -> set[bytes]:
        """The addresses that have a lease."""
        found = set()
        for name in os.listdir(self._directory):
            try:
                found.add(parse_ip(name))
            except ValueError:
                continue
        return found

    def held_by(self, container: str, interface: str) -> list[bytes]:
        """The addresses of one attachment, in order. Costs a read of every lease."""
        return sorted(ip for ip, (owner, name) in self._all() if owner == container and name in ("", interface))

    def reserve(self, ip: bytes, container: str, interface: str, range_set: int | None = None) -> bool:
        """Make the lease; False when the address has one. range_set: whose last address it is from now on."""
        path = os.path.join(self._directory, format_ip(ip))
        try:
            handle = os.open(path, os.O_WRONLY | os.O_EXCL | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        try:
            os.write(handle, f"{container}{_SEPARATOR}{interface}".encode())
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(handle)
        if range_set is not None:
            self._write(f"{_LAST}{range_set}", format_ip(ip))
        return True

    def release(self, container: str, interface: str) -> list[bytes]:
        """Delete every lease of one attachment; returns the addresses. None is no error."""
        held = self.held_by(container, interface)
        for ip in held:
            self._unlink(ip)
        return held

    def release_others(self, valid: Set[tuple[str, str]]) -> list[bytes]:
        """Delete the leases of every attachment that is not among `valid`, (container, interface) pairs."""
        containers = {container for container, _ in valid}
        stale = [
            ip for ip, (owner, name) in self._all() if ((owner, name) not in valid if name else owner not in containers)
        ]
        for ip in stale:
            self._unlink(ip)
        return sorted(stale)

    def last_reserved(self, range_set: int) -> bytes | None:
        """The address last given out of a range set; None when that is not known."""
        try:
            return parse_ip(self._read(f"{_LAST}{range_set}").strip())
        except (OSError, ValueError):
            return None

    def _all(self) -> list[tuple[bytes, tuple[str, str]]]:
        """Every lease as (address, (container, interface)); very old leases have no interface."""
        found = []
        for ip in self.taken():
            try:
                owner, _, interface = self._read(format_ip(ip)).strip().partition(_SEPARATOR)
            except OSError:
                continue
            found.append((ip, (owner.strip(), interface)))
        return found

    def _read(self, name: str) -> str:
        handle = os.open(os.path.join(self._directory, name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(handle, 4096).decode(errors="replace")
        finally:
            os.close(handle)

    def _write(self, name: str, text: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        handle = os.open(os.path.join(self._directory, name), flags, 0o600)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def _unlink(self, ip: bytes) -> None:
        try:
            os.unlink(os.path.join(self._directory, format_ip(ip)))
        except FileNotFoundError:
            pass
