"""Two API servers on one etcd, as a cluster with two masters has them: what one was told, the other knows."""

from __future__ import annotations

import itertools
from http.client import HTTPSConnection
from pathlib import Path

from tests.integration.apiservers import ApiServer
from tests.integration.process import ControlPlane


class Pair(ControlPlane):
    """The one-process control plane and another API server beside it, with the same certificates and etcd.

    Requests, kubectl and the kubeconfig's readers are sent to the one and the other in turn.
    """

    def __init__(self, directory: Path, store: str) -> None:
        self._turn = itertools.cycle((0, 1))
        self._kubeconfigs = (directory / "admin.kubeconfig", directory / "second.kubeconfig")
        super().__init__(directory, store)
        # Masters have addresses of their own: by them the `kubernetes` Service tells its endpoints apart.
        self.second = ApiServer(directory, store, "--advertise-address=127.0.0.2")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for the next server."""
        return self._kubeconfigs[next(self._turn)] if self._kubeconfigs[1].exists() else self._kubeconfigs[0]

    def start(self) -> float:
        took = super().start()
        seconds = self.second.start()
        first, second = (f"https://127.0.0.1:{port}" for port in (self.port, self.second.port))
        self._kubeconfigs[1].write_text(self._kubeconfigs[0].read_text().replace(first, second))
        return took + seconds

    def connect(self, *, anonymous: bool = False, timeout: float = 30.0) -> HTTPSConnection:
        if self._kubeconfigs[1].exists() and next(self._turn):
            return self.second.connect(anonymous=anonymous, timeout=timeout)
        return super().connect(anonymous=anonymous, timeout=timeout)

    def stop(self) -> int:
        """SIGTERM for both; the sum of their exit codes."""
        return self.second.stop() + super().stop()

    @property
    def log(self) -> str:
        return super().log + self.second.log
