"""kube-apiserver alone, with flags of its own: what the one-process control plane does not spell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from controlplane.allinone.config import parse
from controlplane.allinone.wire import flags, prepare
from tests.integration.process import ControlPlane


class ApiServer(ControlPlane):
    """A running `python -m controlplane.apiserver` with a cluster's usual flags and some more.

    A flag given in `extra` counts instead of the usual one.
    """

    module = "controlplane.apiserver"

    def __init__(self, directory: Path, store: str, extra: Sequence[str] = ()) -> None:
        super().__init__(directory, store)
        self.extra = list(extra)

    def argv(self) -> list[str]:
        config = parse(super().argv())
        prepare(config)
        return [*flags(config), *self.extra]
