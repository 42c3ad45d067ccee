"""What the provisioner tells a person: mistakes of the input (exit 2) and failures of the work (exit 1)."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence


class LabError(Exception):
    """Something did not work. ``str(e)`` says what; ``advice`` what to do. Exit code 1, no traceback."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        self.advice = advice
        super().__init__(message)


class BadInput(LabError):
    """What was asked for cannot be built. Every problem at once; nothing was created. Exit code 2."""

    def __init__(self, problems: Sequence[str], *, advice: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems), advice=advice)


class StepFailed(LabError):
    """A step of a machine failed: which, why, the last lines of its console, and what to do."""

    def __init__(self, scope: str, step: str, reason: str, *, console: Sequence[str] = (), advice: str = "") -> None:
        self.scope, self.step, self.reason, self.console = scope, step, reason, tuple(console)
        super().__init__(f"{scope}: {step}: {reason}", advice=advice)


class Stopped(LabError):
    """Ctrl-C: the step ended early, by request. The journal knows what is done; ``up`` continues."""

    def __init__(self) -> None:
        super().__init__("stopped", advice="kubelab up continues where this ended; kubelab destroy removes everything.")


def os_reason(error: OSError) -> tuple[str, str]:
    """What the operating system refused, and what to do about it (empty where that is not known)."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        # Copying a tree goes on after a failure, and ends with a list of thousands.
        source, _, why = error.args[0][0]
        return f"{source}: {why} (and {len(error.args[0]) - 1} more)", ""
    reason = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror or error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return reason, "Free some space (kubelab image prune), or set KUBELAB_HOME to a larger disk."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return reason, "Run as root, or set KUBELAB_HOME."
    return reason, ""
