"""What went wrong, for people and for programs: a sentence, the last lines, what to do, and the exit code. Pure."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

import typer

from provisioner.errors import BadInput, LabError, StepFailed, Stopped, os_reason

#: kubelab's exit codes; 130 is what a shell says of Ctrl-C.
FAILED, BAD_INPUT, STOPPED = 1, 2, 130

#: What the parser raises for a wrong command line. typer brings its own copy of click, and names only this subclass.
_UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


@dataclass(frozen=True, slots=True)
class Complaint:
    """message: one sentence, or one line per problem of the input. scope, step: of a plan's step that failed."""

    code: int
    message: str
    problems: tuple[str, ...] = ()
    scope: str = ""
    step: str = ""
    console: tuple[str, ...] = ()
    advice: str = ""

    def as_json(self) -> str:
        """One line; the keys are always there."""
        return json.dumps(
            {
                "event": "error",
                "error": self.message,
                "problems": self.problems,
                "scope": self.scope,
                "step": self.step,
                "console": self.console,
                "advice": self.advice,
            }
        )

    def as_lines(self) -> list[tuple[str, str]]:
        """Lines with the style that a terminal gives them."""
        if len(self.problems) > 1:
            lines = [(f"kubelab: {len(self.problems)} problems; nothing was done", "red")]
            lines += [(f"  {problem}", "red") for problem in self.problems]
        else:
            lines = [(f"kubelab: {self.message}", "red")] if self.message else []
        if self.console:
            lines += [("last lines:", "bold"), *((f"  | {line}", "") for line in self.console)]
        return [*lines, (self.advice, "")] if self.advice else lines


def explain(error: BaseException) -> Complaint | None:
    """What to tell a person; ``None`` for what only a programmer can mend, which deserves its traceback."""
    match error:
        case BadInput():
            return Complaint(BAD_INPUT, str(error), error.problems, advice=error.advice)
        case StepFailed():
            return Complaint(FAILED, str(error), (), error.scope, error.step, tuple(error.console), advice=error.advice)
        case Stopped():
            return Complaint(STOPPED, str(error), advice=error.advice)
        case LabError():
            return Complaint(FAILED, str(error), advice=error.advice)
        case KeyboardInterrupt() | typer.Abort():
            return Complaint(STOPPED, "stopped")
        case _UsageError():
            return _wrong_usage(error)
        case OSError() if error.filename is not None or error.errno is not None or isinstance(error, shutil.Error):
            reason, advice = os_reason(error)
            return Complaint(FAILED, reason, advice=advice)
    # Not imported for its name alone: it costs a tenth of a second.
    if type(error).__name__ == "libvirtError":
        return Complaint(FAILED, f"libvirt: {error}", advice="kubelab doctor says what this host lacks.")
    return None


def wants_json(argv: list[str]) -> bool:
    """Whether a command line asks for JSON; what ssh, kubectl and control-plane are given is not ours to read."""
    if argv[:1] and argv[0] in ("ssh", "kubectl", "control-plane"):
        return False
    return "--json" in (argv[: argv.index("--")] if "--" in argv else argv)


def _wrong_usage(error: typer.BadParameter) -> Complaint:
    message = error.format_message()
    command = error.ctx.command_path if error.ctx is not None else "kubelab"
    # Without a message the parser has just shown the help of a command that was called without any.
    return Complaint(BAD_INPUT, message, (message,) if message else (), advice=f"{command} --help" if message else "")
