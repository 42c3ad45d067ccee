"""`crictl port-forward`: local ports whose connections end inside a pod."""

from __future__ import annotations

import re
import selectors
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apimachinery.kit import spdy

from .complaints import Failed, say
from .rpc import CallFailed
from .upgraded import CHUNK, Upgraded

if TYPE_CHECKING:
    from .options import Options
    from .session import Session

_PROTOCOLS = ("portforward.k8s.io",)


@dataclass(slots=True)
class _Joint:
    """A local connection and its two streams. ends: directions that have not ended yet."""

    local: socket.socket
    data: int
    error: int
    ends: int = 2
    problem: bytes = b""


def forward(options: Options, session: Session) -> int:
    """`crictl port-forward`, until interrupted."""
    if len(options.arguments) < 2:
        return session.help()
    pod, *words = options.arguments
    ports = [_ports(word) for word in words]
    try:
        url = session.runtime.call("PortForward", {"pod_sandbox_id": pod, "port": [remote for _, remote in ports]})[
            "url"
        ]
        connection = Upgraded(url, _PROTOCOLS, session.timeout)
    except (Failed, CallFailed) as error:
        raise Failed(f"port forward: {error}") from None
    try:
        _Forwarder(connection, ports).run()
    except KeyboardInterrupt:
        return 0
    finally:
        connection.close()
    raise Failed("port forward: lost connection to pod")


def _ports(word: str) -> tuple[int, int]:
    """`LOCAL:REMOTE`, `:REMOTE` or `PORT`. Raises Failed."""
    match = re.fullmatch(r"(?:(\d*):)?(\d+)", word)
    if match is None:
        raise Failed(f"port forward: invalid port format '{word}'")
    remote = int(match[2])
    local = remote if match[1] is None else int(match[1] or 0)
    if not 0 < remote < 65536 or local > 65535:
        raise Failed(f"port forward: invalid port format '{word}'")
    return local, remote


class _Forwarder:
    def __init__(self, connection: Upgraded, ports: list[tuple[int, int]]) -> None:
        self._connection = connection
        self._selector = selectors.DefaultSelector()
        self._joints: dict[int, _Joint] = {}
        self._requests = 0
        for local, remote in ports:
            try:
                listener = socket.create_server(("127.0.0.1", local))
            except OSError as error:
                raise Failed(f"port forward: unable to listen on port {local}: {error.strerror}") from None
            print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {remote}", flush=True)
            self._selector.register(listener, selectors.EVENT_READ, ("listener", remote))
        self._selector.register(connection.socket, selectors.EVENT_READ, ("runtime", 0))

    def run(self) -> None:
        """Carry until the runtime ends the connection."""
        while True:
            for key, _ in self._selector.select(0 if self._connection.pending else None):
                kind, number = key.data
                if kind == "listener":
                    self._accept(key.fileobj, number)  # type: ignore[arg-type]
                elif kind == "local":
                    self._from_local(self._joints[number])
                elif not self._from_runtime():
                    return
            if self._connection.pending and not self._from_runtime():
                return

    def _accept(self, listener: socket.socket, port: int) -> None:
        local, _ = listener.accept()
        print(f"Handling connection for {listener.getsockname()[1]}", flush=True)
        headers = {"port": str(port), "requestID": str(self._requests)}
        self._requests += 1
        error = self._connection.open({"streamType": "error", **headers})
        self._connection.send(error, b"", fin=True)
        data = self._connection.open({"streamType": "data", **headers})
        self._joints[data] = _Joint(local, data, error)
        self._selector.register(local, selectors.EVENT_READ, ("local", data))

    def _from_local(self, joint: _Joint) -> None:
        try:
            data = joint.local.recv(CHUNK)
        except OSError:
            data = b""
        self._connection.send(joint.data, data, fin=not data)
        if not data:
            self._selector.unregister(joint.local)
            self._ended(joint, 1)

    def _from_runtime(self) -> bool:
        frames = self._connection.receive()
        for frame in frames or ():
            joint = self._joints.get(frame.stream)
            if joint is not None:
                self._to_local(joint, frame)
                continue
            joint = next((each for each in self._joints.values() if each.error == frame.stream), None)
            if joint is not None:
                joint.problem += frame.data
                if frame.fin and joint.problem:
                    say("error", f"an error occurred forwarding: {joint.problem.decode('utf-8', 'replace')}")
        sys.stdout.flush()
        return frames is not None

    def _to_local(self, joint: _Joint, frame: spdy.Frame) -> None:
        try:
            if frame.kind == 0 and frame.data:
                joint.local.sendall(frame.data)
            if frame.fin:
                joint.local.shutdown(socket.SHUT_WR)
        except OSError:
            # The local end is gone: its own half will be seen to have ended.
            pass
        if frame.kind == spdy.RST_STREAM:
            if joint.local in (key.fileobj for key in self._selector.get_map().values()):
                self._selector.unregister(joint.local)
            self._ended(joint, joint.ends)
        elif frame.fin:
            self._ended(joint, 1)

    def _ended(self, joint: _Joint, directions: int) -> None:
        joint.ends -= directions
        if joint.ends <= 0:
            joint.local.close()
            del self._joints[joint.data]
