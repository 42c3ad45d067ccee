"""Answers the plugins' calls in a process that is there already: kube-proxy's, or `python -m nodeagent.cni.agent PATH`.

Talks to kubelab-cni.c. The agent greets when it is ready for a call; the caller then sends the call: two lengths, the
plugin's name and its CNI variables (each ended by a NUL), and stdin. The answer: exit code, length, stdout. Numbers are
of 32 bits, in the machine's order. A caller that was not greeted in time has sent nothing, and carries the call out
itself; so nothing is ever begun twice unknowingly.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from apimachinery.kit.trace import Trace, current

from . import bandwidth, bridge, errors, host_local, jsontext, loopback, portmap
from .call import Plugin, answer, arguments
from .main import printed

log = logging.getLogger(__name__)

PLUGINS: Mapping[str, Plugin] = {
    "kubelab-bridge": bridge.PLUGIN,
    "host-local": host_local.PLUGIN,
    "loopback": loopback.PLUGIN,
    "portmap": portmap.PLUGIN,
    "bandwidth": bandwidth.PLUGIN,
}
GREETING = b"kubelab-cni 1\n"  # with the version of the protocol: a caller of another one turns away
SIZES = struct.Struct("=II")
NAMES_MAX, TEXT_MAX = 1 << 16, 1 << 20  # bytes; as the caller's
CALLS_MAX = 8  # at once; further callers wait in the backlog
_BACKLOG = 64
_REQUEST_SECONDS = 5.0  # from the greeting to the whole request
_FINISH_SECONDS = 10.0  # for the calls under way, when the agent stops
_REST_SECONDS = 0.1  # after a refusal of the kernel to hand out another connection


Admit = Callable[[str, str, tuple[str, ...]], str]
"""Blocks until a pod (namespace/name, UID or "", addresses) may start; "", or the reason why it must not."""


class Refused(Exception):
    """A connection that is not answered: its caller carries the call out itself."""


class Agent:
    """Serves `plugins` on the unix socket `path` from `start` to `stop`.

    Every call has a thread of its own, for it changes that thread's network namespace; whatever a call does to its
    thread ends with it. Calls for one container take turns: a DEL after an ADD that was given up waits for that ADD.
    admit: asked before the answer to an ADD that attached a pod; one that it refuses is detached again.
    """

    def __init__(self, path: Path, plugins: Mapping[str, Plugin] = PLUGINS, admit: Admit | None = None) -> None:
        self._path, self._plugins, self._admit = path, plugins, admit
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stopping = threading.Event()
        self._slots = threading.Semaphore(CALLS_MAX)
        self._turns = _Turns()
        self._identity = (0, 0)
        self._trace: Trace | None = None

    def start(self) -> Self:
        """Take the path over, from a socket that somebody left or still serves. Raises OSError."""
        self._trace = current()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name until nobody but root may connect; the rename replaces what is there in one step.
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        self._listener.bind(str(fresh))
        fresh.chmod(0o600)
        self._listener.listen(_BACKLOG)
        self._identity = _identity(fresh)
        fresh.rename(self._path)
        threading.Thread(target=self._accept, name="cni-agent", daemon=True).start()
        return self

    def stop(self) -> None:
        """Take no further call; return when those under way have ended, or after 10 seconds."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            if _identity(self._path) == self._identity:
                self._path.unlink()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        deadline = time.monotonic() + _FINISH_SECONDS
        for _ in range(CALLS_MAX):
            self._slots.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            self._slots.acquire()
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                self._slots.release()
                if self._stopping.is_set():
                    return
                log.warning("cannot take a call: %s", error)
                self._stopping.wait(_REST_SECONDS)
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="cni-call", daemon=True).start()
            except RuntimeError as error:
                self._slots.release()
                connection.close()
                log.warning("cannot take a call: %s", error)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                _check_neighbour(connection)
                connection.settimeout(_REQUEST_SECONDS)
                connection.sendall(GREETING)
                plugin, environment, text = self._request(connection)
                began = time.time()
                with self._turns.turn(environment.get("CNI_CONTAINERID", "")):
                    code, out = answer(plugin, environment, lambda: text)
                    if code == 0 and (reason := self._refusal(plugin, environment, out)):
                        answer(plugin, {**environment, "CNI_COMMAND": "DEL"}, lambda: text)
                        code, out = 1, _refused(text, reason)
                self._note(began, plugin, environment, code)
                if code != 0:
                    log.info("%s %s: %s", environment.get("CNI_COMMAND"), environment.get("CNI_CONTAINERID"), out)
                out = printed(out)
                connection.sendall(SIZES.pack(code, len(out)) + out)
        except Refused as error:
            log.info("not answered: %s", error)
        except OSError as error:
            log.info("a caller went away: %s", error)
        finally:
            self._slots.release()

    def _refusal(self, plugin: Plugin, environment: Mapping[str, str], out: bytes) -> str:
        """Why the pod that was just attached must not start; "" for one that may, and for whatever is no pod's."""
        if self._admit is None or plugin is not bridge.PLUGIN or environment.get("CNI_COMMAND") != "ADD":
            return ""
        words = arguments(environment.get("CNI_ARGS", ""))
        namespace, name = words.get("K8S_POD_NAMESPACE"), words.get("K8S_POD_NAME")
        if not namespace or not name:
            return ""
        result: Any = jsontext.loads(out)
        ips = tuple(ip["address"].partition("/")[0] for ip in result["ips"])
        return self._admit(f"{namespace}/{name}", words.get("K8S_POD_UID", ""), ips)

    def _note(self, began: float, plugin: Plugin, environment: Mapping[str, str], code: int) -> None:
        """In the trace of the process that we run in. Threads may: the ring's append is one step."""
        if self._trace is None:
            return
        pairs = (pair.partition("=") for pair in environment.get("CNI_ARGS", "").split(";"))
        words = {name: value for name, _, value in pairs}
        pod = f"{words.get('K8S_POD_NAMESPACE', '')}/{words.get('K8S_POD_NAME', '')}"
        name = next(each for each, known in self._plugins.items() if known is plugin)
        detail = {"call": environment.get("CNI_COMMAND"), "plugin": name, "code": code}
        self._trace.note_at(began, 0, "cni", "pods", pod, "", {**detail, "seconds": time.time() - began})

    def _request(self, connection: socket.socket) -> tuple[Plugin, dict[str, str], bytes]:
        deadline = time.monotonic() + _REQUEST_SECONDS
        names_size, text_size = SIZES.unpack(_receive(connection, SIZES.size, deadline))
        if names_size > NAMES_MAX or text_size > TEXT_MAX:
            raise Refused(f"a call of {names_size} and {text_size} bytes")
        name, *variables = _receive(connection, names_size, deadline).split(b"\0")[:-1] or [b""]
        text = _receive(connection, text_size, deadline)
        plugin = self._plugins.get(os.fsdecode(name))
        if plugin is None:
            raise Refused(f"no plugin {os.fsdecode(name)!r}")
        pairs = (os.fsdecode(variable).partition("=") for variable in variables)
        return plugin, {key: value for key, _, value in pairs}, text


def _refused(text: bytes, reason: str) -> bytes:
    """The error object for a call whose configuration is `text`."""
    config: Any = jsontext.loads(text)
    return jsontext.dumps(errors.CniError(errors.TRY_AGAIN_LATER, reason).to_object(config["cniVersion"]))


class _Turns:
    """One at a time for each name."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: name not in self._busy)
            self._busy.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._busy.remove(name)
                self._changed.notify_all()


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    """Exactly so many bytes. Raises Refused for fewer, TimeoutError after the deadline."""
    chunks: list[bytes] = []
    while size > 0:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = connection.recv(min(size, 65536))
        if not chunk:
            raise Refused("a call that broke off before it was whole")
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _check_neighbour(connection: socket.socket) -> None:
    """Raises Refused for a caller with another network or other files: there, paths and the bridge mean others."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid = struct.unpack("=3i", credentials)[0]
    for kind in ("net", "mnt"):
        try:
            same = os.path.samefile(f"/proc/{pid}/ns/{kind}", f"/proc/self/ns/{kind}")  # noqa: PTH121 - of descriptors
        except OSError:
            same = False
        if not same:
            raise Refused(f"a call by process {pid}, which is in another {kind} namespace")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def main() -> int:
    """The agent alone, until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with Agent(Path(sys.argv[1])):
        signal.sigwait(signals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
