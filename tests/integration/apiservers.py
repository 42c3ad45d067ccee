"""API servers alone, as processes: with flags of a test's own, and several on one etcd."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from controlplane.allinone.config import AllInOneConfig
from controlplane.allinone.wire import flags, prepare
from tests.integration.process import ROOT, ControlPlane, wait_until


class ApiServer(ControlPlane):
    """A running `python -m controlplane.apiserver`. Those of one `directory` share their certificates, keys and, but
    for SQLite, their store."""

    def __init__(self, directory: Path, store: str, *more: str) -> None:
        super().__init__(directory, store)
        self._more = more
        self._log = directory.parent / f"{directory.name}-{self.port}.log"

    def argv(self) -> list[str]:
        """The command line. A flag of `more` counts instead of the usual one."""
        servers = () if self.store == "sqlite" else (self.store,)
        config = AllInOneConfig(data_dir=self.directory, etcd_servers=servers, port=self.port)
        if not self.kubeconfig.exists():
            prepare(config)
        named = {flag.partition("=")[0] for flag in self._more}
        usual = [flag for flag in flags(config) if flag.partition("=")[0] not in named]
        return [sys.executable, "-m", "controlplane.apiserver", *usual, *self._more]

    def launch(self) -> None:
        """Start, and wait for nothing."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.argv(), cwd=ROOT, stdout=log, stderr=log)

    def start(self) -> float:
        """Start and wait for /readyz; the seconds it took."""
        begun = time.monotonic()
        self.launch()
        wait_until("the API server is ready", self._ready)
        return time.monotonic() - begun

    def wait(self, deadline: float) -> int:
        """The exit code of a server that ends by itself."""
        assert self._process is not None
        return self._process.wait(deadline)
