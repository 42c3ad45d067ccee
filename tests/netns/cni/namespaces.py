"""Network namespaces for tests: made, entered, and gone afterwards. Their names begin with `knet-`."""

import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nodeagent.netlink import namespaces

T = TypeVar("T")
_numbers = itertools.count()
# Seconds that anything asynchronous may take on a machine that does ten things at once.
WAIT = 120.0
# Seconds until an answer, for who is to get one.
PATIENCE = 20.0


class Namespace:
    """A network namespace with `lo` up."""

    def __init__(self, what: str) -> None:
        self.name = f"knet-{os.getpid()}-{next(_numbers)}-{what}"
        self.path = Path("/run/netns", self.name)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def delete(self) -> None:
        if self.path.exists():
            subprocess.run(["ip", "netns", "del", self.name], check=True)

    def run(
        self, *argv: str, input: str | bytes | None = None, env: dict[str, str] | None = None, check: bool = True
    ) -> str:
        """What the command printed, run inside; raises with its last words when it fails."""
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(["nsenter", f"--net={self.path}", *argv], input=data, env=env, capture_output=True)
        if check and done.returncode != 0:
            raise AssertionError(
                f"{argv} in {self.name}: {done.returncode}: {done.stdout.decode()}{done.stderr.decode()}"
            )
        return done.stdout.decode()

    def json(self, *argv: str) -> Any:
        return json.loads(self.run(*argv) or "[]")

    def inside(self, work: Callable[[], T]) -> T:
        """Run `work` with this thread in the namespace."""
        descriptor = namespaces.open_namespace(str(self.path))
        try:
            return namespaces.inside(descriptor, work)
        finally:
            os.close(descriptor)

    def serve(self, words: str, port: int, host: str = "0.0.0.0", kind: int = socket.SOCK_STREAM) -> "Server":
        return Server(self, words, port, host, kind)

    def ask(self, host: str, port: int, *, timeout: float = PATIENCE, source: tuple[str, int] | None = None) -> str:
        """What a server there says: its words and the client's address as it saw it, `words from 10.0.0.1`."""

        def connect() -> str:
            with socket.create_connection((host, port), timeout, source) as connection:
                return connection.makefile().read()

        return self.inside(connect)

    def ask_udp(self, host: str, port: int, *, timeout: float = PATIENCE, source: int = 0) -> str:
        def exchange() -> str:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(timeout)
                client.bind(("", source))
                client.connect((host, port))
                client.send(b"?")
                return client.recv(1024).decode()

        return self.inside(exchange)


class Server:
    """Tells every client its words and the client's address. kind: SOCK_STREAM or SOCK_DGRAM."""

    def __init__(self, namespace: Namespace, words: str, port: int, host: str, kind: int) -> None:
        self._words, self._kind = words, kind

        def listen() -> socket.socket:
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            if kind == socket.SOCK_STREAM:
                listener.listen(128)
            return listener

        self._socket = namespace.inside(listen)
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            try:
                if self._kind == socket.SOCK_STREAM:
                    connection, address = self._socket.accept()
                    with connection:
                        connection.sendall(f"{self._words} from {address[0]}".encode())
                else:
                    _, address = self._socket.recvfrom(1024)
                    if address is None:  # shut down
                        return
                    self._socket.sendto(f"{self._words} from {address[0]}".encode(), address)
            except OSError:
                return

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def connect(one: Namespace, other: Namespace, one_address: str, other_address: str, names: tuple[str, str]) -> None:
    """A cable between two namespaces, with an address at each end."""
    first, second = names
    one.run("ip", "link", "add", first, "type", "veth", "peer", "name", second, "netns", other.name)
    for namespace, name, address in ((one, first, one_address), (other, second, other_address)):
        namespace.run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        namespace.run("ip", "link", "set", name, "up")


def eventually(what: str, condition: Callable[[], T], seconds: float = WAIT) -> T:
    """What `condition` returns once it is true; fails loudly after so many seconds, with what it last was or raised."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
            last = value
        except (OSError, AssertionError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds:g} s; last: {last!r}")
