"""A shell on a netns machine: ``nsenter`` into the namespaces of its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable

from provisioner.shell import CommandFailed, Result, Shell, ShellError

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "KUBECONFIG": "/root/.kube/config",
}


class NetnsShell(Shell):
    """``pid`` gives the supervisor's process id at each call, for a machine may have been restarted, or ``None``."""

    def __init__(self, machine: str, pid: Callable[[], int | None], stop: Callable[[], bool] = lambda: False) -> None:
        self.machine = machine
        self._pid, self._stop = pid, stop

    def run(self, command: str, input: bytes | None = None, timeout: float = 60.0, check: bool = True) -> Result:
        deadline = time.monotonic() + timeout
        # From a file, not a pipe: communicate() does not go on writing after a timeout of its own.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(input or b"")
            stdin.seek(0)
            process = subprocess.Popen(
                self._argv(command),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        while True:
            try:
                stdout, stderr = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                late = time.monotonic() > deadline
                if late or self._stop():
                    # The whole session: what the command started holds its pipes open.
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    why = f"did not end within {timeout:.0f} s" if late else "was stopped"
                    raise ShellError(f"{self.machine}: `{command[:80]}` {why}") from None
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        result = Result(command, code, stdout, stderr)
        if check and code != 0:
            raise CommandFailed(self.machine, result)
        return result

    def interact(self, command: str) -> int:
        code = subprocess.run(self._argv(command or "exec bash -l"), env=_ENVIRONMENT, cwd="/", check=False).returncode
        return code if code >= 0 else 128 - code

    def _argv(self, command: str) -> list[str]:
        pid = self._pid()
        if pid is None:
            raise ShellError(f"{self.machine} is not running", advice="kubelab up starts it.")
        return ["nsenter", "--target", str(pid), "--mount", "--uts", "--net", "--", "/bin/sh", "-c", command]
