"""A shell on a machine over SSH: one connection per machine, host key pinned, dead connections noticed and renewed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import paramiko

from provisioner.keys import IDENTITY
from provisioner.shell import CommandFailed, Result, Shell, ShellError
from provisioner.spec import Machine

#: Seconds between keepalives; a machine that lost power is noticed after the TCP retransmissions of one of them.
KEEPALIVE = 15
#: Seconds for TCP connect, banner and authentication each. An emulated machine takes several to start sshd's child.
HANDSHAKE = 25.0
_POLL = 0.2
_CHUNK = 1 << 18
_SILENCE = 2.0  # seconds without output, after the exit status


class SshShell(Shell):
    """Connects when first used, and again after the machine was away."""

    def __init__(self, machine: Machine, keys: Path, *, stop: Callable[[], bool] = lambda: False) -> None:
        self.machine = machine.name
        self._address, self._keys, self._stop = machine.ip, keys, stop
        self._client: paramiko.SSHClient | None = None

    def wait(self, timeout: float, alive: Callable[[], str | None] = lambda: None) -> None:
        """Connect, trying again for ``timeout`` seconds. ``alive`` says why it is pointless to go on, or ``None``."""
        deadline = time.monotonic() + timeout
        last = "never tried"
        while time.monotonic() < deadline:
            if self._stop():
                raise ShellError(f"{self.machine}: stopped while waiting for SSH")
            if reason := alive():
                raise ShellError(f"{self.machine}: {reason}")
            try:
                self._connect()
                return
            except ShellError as error:
                last = str(error)
                time.sleep(_POLL)
        raise ShellError(f"{self.machine}: no SSH after {timeout:.0f} s: {last}")

    def run(self, command: str, input: bytes | None = None, timeout: float = 60.0, check: bool = True) -> Result:
        channel = self._channel()
        deadline = time.monotonic() + timeout
        out: list[bytes] = []
        err: list[bytes] = []
        view = memoryview(input or b"")
        try:
            channel.settimeout(timeout)
            channel.exec_command(command)
            channel.setblocking(False)
            closed = False
            heard = time.monotonic()
            while True:
                busy = self._drain(channel, out, err)
                if busy or not channel.exit_status_ready():
                    heard = time.monotonic()
                if not closed and channel.send_ready():
                    if view:
                        view = view[channel.send(view[:_CHUNK]) :]  # type: ignore[arg-type]  # bytes-like is enough
                        busy = True
                    if not view:
                        channel.shutdown_write()
                        closed = True
                if channel.exit_status_ready():
                    # The status may overtake the output's rest (RFC 4254, 6.10), which ends with EOF. EOF does not come
                    # while a process that was left behind holds the output.
                    ended = channel.eof_received or channel.closed or time.monotonic() - heard > _SILENCE
                    if ended and not busy and not self._drain(channel, out, err):
                        break
                if channel.closed and not channel.exit_status_ready():
                    raise ShellError(f"{self.machine}: the connection ended before `{command[:80]}` did")
                if time.monotonic() > deadline:
                    raise ShellError(f"{self.machine}: `{command[:80]}` did not end within {timeout:.0f} s")
                if self._stop():
                    raise ShellError(f"{self.machine}: stopped during `{command[:80]}`")
                if not busy:
                    channel.status_event.wait(0.02)
            result = Result(command, channel.recv_exit_status(), b"".join(out), b"".join(err))
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise ShellError(f"{self.machine}: connection lost: {error or type(error).__name__}") from error
        finally:
            channel.close()
        if check and result.code != 0:
            raise CommandFailed(self.machine, result)
        return result

    def interact(self, command: str) -> int:
        """Through the ssh program: it knows terminals, window sizes and escape keys."""
        argv = ["ssh", *ssh_options(self._keys, self.machine), f"root@{self._address}"]
        if command:
            argv.append(command)
        return os.spawnvp(os.P_WAIT, argv[0], argv)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @staticmethod
    def _drain(channel: paramiko.Channel, out: list[bytes], err: list[bytes]) -> bool:
        got = False
        while channel.recv_ready():
            out.append(channel.recv(_CHUNK))
            got = True
        while channel.recv_stderr_ready():
            err.append(channel.recv_stderr(_CHUNK))
            got = True
        return got

    def _channel(self) -> paramiko.Channel:
        for attempt in (1, 2):
            if self._client is None:
                self._connect()
            assert self._client is not None
            transport = self._client.get_transport()
            try:
                if transport is not None and transport.is_active():
                    return transport.open_session(timeout=HANDSHAKE)
                reason = "connection is closed"
            except (paramiko.SSHException, OSError, EOFError) as error:
                reason = str(error) or type(error).__name__
            # The machine was rebooted, or the connection is stale: once more on a new one.
            self.close()
            if attempt == 2:
                raise ShellError(f"{self.machine}: cannot open a session: {reason}")
        raise AssertionError("unreachable")

    def _connect(self) -> None:
        client = paramiko.SSHClient()
        client.load_host_keys(str(self._keys / "known_hosts"))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            # A plain connect first: a machine that is still booting refuses or is silent, and costs 2 s, not HANDSHAKE.
            sock = socket.create_connection((self._address, 22), timeout=2.0)
            client.connect(
                self._address,
                username="root",
                key_filename=str(self._keys / IDENTITY),
                sock=sock,
                timeout=HANDSHAKE,
                banner_timeout=HANDSHAKE,
                auth_timeout=HANDSHAKE,
                allow_agent=False,
                look_for_keys=False,
            )
        except paramiko.BadHostKeyException as error:
            client.close()
            raise ShellError(
                f"{self.machine}: another machine answers at {self._address}: its host key is not the lab's",
                advice="Another lab or machine uses this address: choose another network in lab.yaml.",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            client.close()
            raise ShellError(f"{self.machine}: {error or type(error).__name__}") from error
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE)
        self._client = client


def ssh_options(keys: Path, machine: str) -> list[str]:
    """Options that make the ssh program use the lab's key and pinned host keys, and nothing of the person's."""
    return [
        "-F", "none",
        "-i", str(keys / IDENTITY),
        "-o", "IdentitiesOnly=yes",
        "-o", f"UserKnownHostsFile={keys / 'known_hosts'}",
        "-o", "StrictHostKeyChecking=yes",
        "-o", f"HostKeyAlias={machine}",
        "-o", "LogLevel=ERROR",
    ]  # fmt: skip
