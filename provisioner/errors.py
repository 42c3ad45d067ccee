"""What the provisioner tells a person: mistakes of the input (exit 2) and failures of the work (exit 1)."""

from __future__ import annotations

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
