"""The load generator of `bench api`: HTTPS/1.1 over keep-alive connections, one request at a time on each, one thread.

Plain non-blocking sockets under one epoll: a request costs about 30 µs here, so that on two cores what is measured is
the server. The answers are counted and timed, not parsed.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_CHUNK = 16 * 1024  # bytes of a TLS record, and so of one read, at most
_LENGTH = b"\r\ncontent-length:"
_END_OF_CHUNKS = b"\r\n0\r\n\r\n"


class Connection:
    """One TLS connection with at most one request under way. Raises OSError when it cannot be made."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext) -> None:
        plain = socket.create_connection(address, 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(plain, server_hostname=address[0])
        self.socket.setblocking(False)
        self.received = bytearray()
        self.began = 0.0
        self.tag = 0
        self._length = -1

    def send(self, request: bytes) -> None:
        """Begin a request, which fits the socket's buffer."""
        self.received.clear()
        self._length = -1
        self.began = time.perf_counter()
        if self.socket.send(request) != len(request):
            raise OSError("a request does not fit the socket's buffer")

    def receive(self) -> bool:
        """Take what has arrived; True once the answer is whole. Raises OSError when the server hangs up."""
        while True:
            try:
                data = self.socket.recv(_CHUNK)
            except ssl.SSLWantReadError:
                return False
            if not data:
                raise ConnectionError("the server closed the connection")
            self.received += data
            if self._whole():
                return True

    def take(self) -> bytes:
        """What has arrived of an endless answer, without waiting."""
        taken = bytearray()
        while True:
            try:
                data = self.socket.recv(_CHUNK)
            except ssl.SSLWantReadError:
                return bytes(taken)
            if not data:
                raise ConnectionError("the server closed the connection")
            taken += data
            if not self.socket.pending() and len(data) < _CHUNK:
                return bytes(taken)  # what may be there besides, poll tells of

    @property
    def status(self) -> int:
        return int(self.received[9:12])

    def _whole(self) -> bool:
        if self._length < 0:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self.received[:end].lower()
            at = head.find(_LENGTH)
            if at < 0:
                self._length = 0 if b"chunked" in head else end + 4
            else:
                self._length = end + 4 + int(head[at + len(_LENGTH) :].partition(b"\r\n")[0])
        if self._length:
            return len(self.received) >= self._length
        return self.received.endswith(_END_OF_CHUNKS)

    def body(self) -> bytes:
        """The body of a whole answer, its chunks joined."""
        head, _, data = bytes(self.received).partition(b"\r\n\r\n")
        if b"chunked" not in head.lower():
            return data
        joined, at = bytearray(), 0
        while True:
            end = data.index(b"\r\n", at)
            size = int(data[at:end], 16)
            if not size:
                return bytes(joined)
            joined += data[end + 2 : end + 2 + size]
            at = end + 4 + size

    def close(self) -> None:
        self.socket.close()


@dataclass(slots=True)
class Driven:
    """What came of a load: seconds of each answer, in the order they came, and of all together."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    def quantile(self, share: float) -> float:
        """Seconds that `share` of the answers took at most."""
        return sorted(self.latencies)[min(int(self.count * share), self.count - 1)]


def drive(connections: Sequence[Connection], requests: Iterable[bytes], seconds: float = 3600.0) -> Driven:
    """Send the requests, each connection the next as soon as it has its answer, until they or the seconds run out.

    Raises RuntimeError for an answer that is no success: a load of refusals measures nothing.
    """
    queue: Iterator[bytes] = iter(requests)
    by_file = {connection.socket.fileno(): connection for connection in connections}
    done = Driven()
    with select.epoll() as poll:
        began = time.perf_counter()
        end = began + seconds
        busy = 0
        for number, connection in by_file.items():
            if (request := next(queue, None)) is None:
                break
            poll.register(number, select.EPOLLIN)
            connection.send(request)
            busy += 1
        while busy:
            for number, _ in poll.poll(30.0) or _nothing():
                connection = by_file[number]
                if not connection.receive():
                    continue
                now = time.perf_counter()
                if connection.status >= 300:
                    raise RuntimeError(f"{connection.status}: {connection.body()[:500]!r}")
                done.latencies.append(now - connection.began)
                request = next(queue, None) if now < end else None
                if request is None:
                    poll.unregister(number)
                    busy -= 1
                else:
                    connection.send(request)
        done.seconds = time.perf_counter() - began
    return done


def _nothing() -> list[tuple[int, int]]:
    raise TimeoutError("no answer within 30 s")


def request(method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
    """The bytes of a request, as a client library would send it."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        "User-Agent: bench/v1 (linux/amd64)\r\n"
    )
    if body:
        head += f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
