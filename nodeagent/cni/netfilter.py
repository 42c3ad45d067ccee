"""iptables, called from a process that must stay small (`subprocess` costs start-up time)."""

from __future__ import annotations

import os

from .errors import NETFILTER, CniError

# Container runtimes start plugins with the environment they have themselves; it may lack sbin.
_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_WAIT = "5"  # seconds to wait for the lock of iptables-legacy


def command(family: int, name: str = "iptables") -> str:
    """family: 4 or 6. name: `iptables`, `iptables-restore` or `iptables-save`."""
    return name if family == 4 else name.replace("iptables", "ip6tables", 1)


def restore(family: int, *lines: str, table: str = "nat") -> None:
    """Apply lines of one table in one transaction. Raises CniError with iptables' own words."""
    text = "\n".join([f"*{table}", *lines, "COMMIT", ""])
    code, _, words = _run([command(family, "iptables-restore"), "--noflush", "--wait", _WAIT], text.encode())
    if code != 0:
        raise CniError(NETFILTER, f"failed to write netfilter rules: {words.strip()}", text)


def try_restore(family: int, *lines: str, table: str = "nat") -> bool:
    """The same where a refusal is no failure: deleting what may not be there. False when nothing was changed."""
    try:
        restore(family, *lines, table=table)
    except CniError:
        return False
    return True


def saved(family: int, table: str = "nat") -> list[str]:
    """A table as iptables-save prints it."""
    code, out, words = _run([command(family, "iptables-save"), "-t", table], b"")
    if code != 0:
        raise CniError(NETFILTER, f"failed to list netfilter rules: {words.strip()}")
    return out.splitlines()


def comment(text: str) -> str:
    """A comment match; quotes in the text, which come from names, cannot end it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'-m comment --comment "{escaped}"'


def _run(argv: list[str], data: bytes) -> tuple[int, str, str]:
    environment = {"PATH": _PATH}
    stdin, feed = os.pipe2(os.O_CLOEXEC)
    out, out_end = os.pipe2(os.O_CLOEXEC)
    words, words_end = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.posix_spawnp(
            _executable(argv[0]),
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, out_end, 1),
                (os.POSIX_SPAWN_DUP2, words_end, 2),
            ],
        )
    finally:
        for descriptor in (stdin, out_end, words_end):
            os.close(descriptor)
    # A pipe holds 64 KiB: far more than a pod's rules, and than what iptables says of them.
    try:
        os.write(feed, data)
    except BrokenPipeError:
        pass
    os.close(feed)
    printed, said = _drain(out), _drain(words)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), printed, said


def _drain(descriptor: int) -> str:
    chunks = []
    while chunk := os.read(descriptor, 65536):
        chunks.append(chunk)
    os.close(descriptor)
    return b"".join(chunks).decode(errors="replace")


def _executable(name: str) -> str:
    for directory in _PATH.split(":"):
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK):
            return path
    raise CniError(NETFILTER, f"failed to locate {name}")
