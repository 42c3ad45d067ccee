"""What a call to the runtime can end in, other than its answer."""

from __future__ import annotations


class RuntimeCallError(Exception):
    """The runtime refused or failed a call. `message` is the runtime's own text; `code` the gRPC status' name."""

    def __init__(self, method: str, code: str, message: str) -> None:
        self.method, self.code, self.message = method, code, message
        super().__init__(f"rpc error: code = {_go_name(code)} desc = {message}")


class RuntimeUnreachable(RuntimeCallError):
    """Nothing answered on the runtime's socket: it is down or restarting. The call may have been executed or not."""


class RuntimeTimeout(RuntimeCallError):
    """The runtime did not answer within the deadline. The call may still be executed."""


class ContainerNotFound(RuntimeCallError):
    """The sandbox, container or image of the call does not exist."""


def error_for(method: str, code: str, message: str) -> RuntimeCallError:
    """The exception for a gRPC status, by its code's name (`NOT_FOUND`)."""
    kinds: dict[str, type[RuntimeCallError]] = {
        "UNAVAILABLE": RuntimeUnreachable,
        "DEADLINE_EXCEEDED": RuntimeTimeout,
        "NOT_FOUND": ContainerNotFound,
    }
    return kinds.get(code, RuntimeCallError)(method, code, message)


def _go_name(code: str) -> str:
    """`NOT_FOUND` as Go prints it, `NotFound`: events and logs carry these texts."""
    return "".join(part.capitalize() for part in code.split("_"))
