"""Two API servers on one etcd, as a cluster with two masters has them: what one was told, the other knows."""

from __future__ import annotations

import contextlib
import itertools
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from tests.integration.apiservers import ApiServer
from tests.integration.process import DEADLINE, ControlPlane


class Pair(ControlPlane):
    """The one-process control plane and another API server beside it, with the same certificates and etcd.

    Requests, kubectl and the kubeconfig's readers are sent to the one and the other in turn. What is read of objects is
    always the newest, at any server. What a server goes by (who may, which kinds and webhooks there are, what is in
    a namespace) it hears of a moment later: each is asked, before it gets a turn, for what etcd has by then.
    """

    def __init__(self, directory: Path, store: str) -> None:
        self._turn = itertools.cycle((0, 1))
        self._kubeconfigs = (directory / "admin.kubeconfig", directory / "second.kubeconfig")
        super().__init__(directory, store)
        # Masters have addresses of their own: by them the `kubernetes` Service tells its endpoints apart.
        self.second = ApiServer(directory, store, "--advertise-address=127.0.0.2")
        self._idle: tuple[list[HTTPSConnection], ...] = ([], [])

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for the next server."""
        if not self._started:
            return self._kubeconfigs[0]
        number = next(self._turn)
        self._catch_up(number)
        return self._kubeconfigs[number]

    @property
    def alone(self) -> ControlPlane:
        first = ControlPlane.__new__(ControlPlane)
        first.__dict__.update(self.__dict__)
        return first

    @property
    def _started(self) -> bool:
        return self._kubeconfigs[1].exists()

    def start(self) -> float:
        took = super().start()
        seconds = self.second.start()
        first, second = (f"https://127.0.0.1:{port}" for port in (self.port, self.second.port))
        self._kubeconfigs[1].write_text(self._kubeconfigs[0].read_text().replace(first, second))
        return took + seconds

    def connect(self, *, anonymous: bool = False, timeout: float = DEADLINE) -> HTTPSConnection:
        number = next(self._turn) if self._started else 0
        if self._started:
            self._catch_up(number)
        return self._connect(number, anonymous=anonymous, timeout=timeout)

    def _connect(self, number: int, *, anonymous: bool = False, timeout: float = DEADLINE) -> HTTPSConnection:
        port = (self.port, self.second.port)[number]
        return self.connection(self._kubeconfigs[0], port, anonymous=anonymous, timeout=timeout)

    def _catch_up(self, number: int) -> None:
        """A read of the newest is answered when all that etcd has by now has arrived."""
        idle = self._idle[number]
        while True:
            kept = bool(idle)
            connection = idle.pop() if kept else self._connect(number)
            try:
                connection.request("GET", "/api/v1/namespaces/default")
                answer = connection.getresponse()
                answer.read()
            except (OSError, HTTPException):
                connection.close()
                if not kept:
                    raise
                continue  # one that was idle for too long
            assert answer.status == 200, answer.status
            idle.append(connection)
            return

    def stop(self) -> int:
        """SIGTERM for both; the sum of their exit codes."""
        for connection in itertools.chain(*self._idle):
            with contextlib.suppress(OSError):
                connection.close()
        return self.second.stop() + super().stop()

    @property
    def log(self) -> str:
        return super().log + self.second.log
