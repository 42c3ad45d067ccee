"""`crictl exec` and `crictl attach`."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from apimachinery.kit import spdy

from .complaints import Failed, say
from .listing import list_containers
from .rpc import CallFailed
from .sandboxes import for_each
from .upgraded import CHUNK, Upgraded, exit_problem

if TYPE_CHECKING:
    from .codec import Message
    from .options import Options
    from .session import Session

# The error stream says how the command ended since version 4; resizing came with 3.
_PROTOCOLS = ("v4.channel.k8s.io",)
_FILTERS = ("name", "pod", "image", "state", "label", "latest", "last")
_DETACH = b"\x10\x11"  # ctrl-p ctrl-q


def execute(options: Options, session: Session) -> int:
    """`crictl exec`."""
    words = options.arguments
    several = any(flag in options.given for flag in _FILTERS)
    if not words or (not several and len(words) < 2):
        return session.help()
    ids, command = ([], words) if several else (words[:1], words[1:])
    if several:
        try:
            ids = [each["id"] for each in list_containers(session, _with_all(options))]
        except (Failed, CallFailed) as error:
            raise Failed(f"listing containers: {error}") from None
        if not ids:
            say("error", "No containers found per filter flags")
            return session.help()
    if options["ignore-errors"] and not options["quiet"]:
        say("warning", "The `--ignore-errors` option has been set all errors returned by the command will be ignored.")

    def one(each: str) -> None:
        if several and not options["quiet"]:
            print(f"{each}:", flush=True)
        if options["sync"]:
            _execute_sync(session, each, command, options["timeout"])
        else:
            _execute(session, each, command, options)

    try:
        return for_each(ids, one)
    except Failed:
        if not options["ignore-errors"]:
            raise
    return 0


def _with_all(options: Options) -> Options:
    """exec has fewer filters than ps; those it lacks choose nothing."""
    options.default("namespace", "")
    options.default("all", False)
    return options


def _execute_sync(session: Session, container: str, command: Sequence[str], timeout: int) -> None:
    request = {"container_id": container, "cmd": list(command), "timeout": timeout}
    try:
        answer = session.runtime.call("ExecSync", request, timeout=timeout or 0)
    except CallFailed as error:
        raise Failed(f"execing command in container {container} synchronously: {error}") from None
    # As upstream: of what failed only the standard error is told, in the complaint.
    if answer["exit_code"]:
        wanted = " ".join(command)
        status = f"command '{wanted}' exited with {answer['exit_code']}"
        stderr = answer["stderr"].decode("utf-8", "replace")
        raise Failed(f"execing command in container {container} synchronously: {status}: {stderr}")
    for output in (answer["stdout"], answer["stderr"]):
        sys.stdout.buffer.write(output + b"\n")
    sys.stdout.buffer.flush()


def _execute(session: Session, container: str, command: Sequence[str], options: Options) -> None:
    request = {"container_id": container, "cmd": list(command)}
    try:
        _join(session, "Exec", request, options, stdin=options["interactive"])
    except (Failed, CallFailed) as error:
        raise Failed(f"execing command in container {container}: {error}") from None


def attach(options: Options, session: Session) -> int:
    """`crictl attach`."""
    if not options.arguments:
        raise Failed("ID cannot be empty")
    if len(options.arguments) > 1:
        return session.help()
    try:
        _join(session, "Attach", {"container_id": options.arguments[0]}, options, stdin=options["stdin"])
    except (Failed, CallFailed) as error:
        raise Failed(f"attaching running container failed: {error}") from None
    return 0


def _join(session: Session, call: str, request: Message, options: Options, *, stdin: bool) -> None:
    terminal = options["tty"]
    streams = {"tty": terminal, "stdin": stdin, "stdout": True, "stderr": not terminal}
    url = session.runtime.call(call, request | streams)["url"]
    stream(url, options["transport"], stdin=stdin, terminal=terminal, timeout=session.timeout)


def stream(url: str, transport: str, *, stdin: bool, terminal: bool, timeout: float) -> None:
    """Join our standard streams with the runtime's until it ends them. Raises Failed."""
    if transport != "spdy":
        raise Failed(f"unknown transport: {transport}")
    if terminal and not stdin:
        raise Failed("tty=true must be specified with interactive=true")
    if terminal and not sys.stdin.isatty():
        raise Failed("input is not a terminal")
    sys.stdout.flush()
    connection = Upgraded(url, _PROTOCOLS, timeout)
    try:
        with _raw() if terminal else _as_it_is():
            problem = _Joined(connection, stdin=stdin, terminal=terminal).run()
    finally:
        connection.close()
    if problem:
        raise Failed(problem)


class _Joined:
    """One exec: the runtime's streams by what they carry."""

    def __init__(self, connection: Upgraded, *, stdin: bool, terminal: bool) -> None:
        self._connection = connection
        wanted = ["error", *(["stdin"] if stdin else []), "stdout", *(["resize"] if terminal else ["stderr"])]
        self._streams = {kind: connection.open({"streamType": kind}) for kind in wanted}
        # What must end before all has been heard; the error stream comes last.
        self._left = {self._streams[kind] for kind in ("error", "stdout", "stderr") if kind in self._streams}
        self._error = b""
        self._typed = b""

    def run(self) -> str:
        """Carry until the runtime has ended; what went wrong, or ""."""
        # poll, as epoll takes no plain file for standard input.
        selector = selectors.PollSelector()
        selector.register(self._connection.socket, selectors.EVENT_READ, "runtime")
        if "stdin" in self._streams:
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "stdin")
        with _window_changes("resize" in self._streams) as changes:
            if changes is not None:
                selector.register(changes, selectors.EVENT_READ, "resize")
                self._resize()
            while self._left:
                ready = {key.data for key, _ in selector.select(0 if self._connection.pending else None)}
                if changes is not None and "resize" in ready:
                    changes.recv(64)
                    self._resize()
                if "stdin" in ready and not self._type():
                    selector.unregister(sys.stdin.fileno())
                if ("runtime" in ready or self._connection.pending) and not self._hear():
                    break
        return exit_problem(self._error)

    def _type(self) -> bool:
        """Pass on what was typed; False at its end. Raises Failed when the user detaches."""
        data = os.read(sys.stdin.fileno(), CHUNK)
        if "resize" in self._streams:
            self._typed = (self._typed + data)[-len(_DETACH) :]
            if self._typed == _DETACH:
                raise Failed("read escape sequence")
        self._connection.send(self._streams["stdin"], data, fin=not data)
        return bool(data)

    def _hear(self) -> bool:
        frames = self._connection.receive()
        if frames is None:
            return False
        for frame in frames:
            if frame.kind == 0 and frame.data:
                if frame.stream == self._streams["error"]:
                    self._error += frame.data
                elif frame.stream == self._streams["stdout"]:
                    _write(sys.stdout.fileno(), frame.data)
                elif frame.stream == self._streams.get("stderr"):
                    _write(sys.stderr.fileno(), frame.data)
            if frame.fin or frame.kind == spdy.RST_STREAM:
                self._left.discard(frame.stream)
        return True

    def _resize(self) -> None:
        size = os.get_terminal_size(sys.stdin.fileno())
        text = json.dumps({"Width": size.columns, "Height": size.lines})
        self._connection.send(self._streams["resize"], text.encode() + b"\n")


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _raw() -> Iterator[None]:
    """The terminal in raw mode, and back whatever happens."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _window_changes(wanted: bool) -> Iterator[socket.socket | None]:
    """A socket that becomes readable when the terminal changes its size."""
    if not wanted:
        yield None
        return
    here, there = socket.socketpair()
    there.setblocking(False)
    old_descriptor = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    old_handler = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        yield here
    finally:
        signal.signal(signal.SIGWINCH, old_handler)
        signal.set_wakeup_fd(old_descriptor)
        here.close()
        there.close()
