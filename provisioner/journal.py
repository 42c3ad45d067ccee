"""What is done, and with which input: the reason why a second ``up`` does nothing and a broken-off one continues."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from apimachinery.kit.files import write_atomic
from provisioner.errors import LabError


class Journal:
    """``journal.json``: step ("SCOPE/NAME") → the digests of its inputs when it last succeeded. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._done: dict[str, dict[str, str]] = json.loads(path.read_text())
        except FileNotFoundError:
            self._done = {}
        except ValueError as error:
            raise LabError(f"{path}: not JSON: {error}", advice="Delete it: every step is done again.") from None

    def changed(self, step: str, parts: Mapping[str, str]) -> frozenset[str]:
        """The names in ``parts`` whose digest is not the one the step succeeded with; empty when all is as it was."""
        with self._lock:
            known = self._done.get(step, {})
        return frozenset(name for name, digest in parts.items() if known.get(name) != digest)

    def record(self, step: str, parts: Mapping[str, str]) -> None:
        """The step succeeded. Durable when this returns."""
        with self._lock:
            self._done[step] = dict(parts)
            self._write()

    def forget(self, scope: str) -> None:
        """Nothing is known any more of the steps of ``scope``: the machine is a new one."""
        with self._lock:
            kept = {step: parts for step, parts in self._done.items() if not step.startswith(f"{scope}/")}
            if len(kept) != len(self._done):
                self._done = kept
                self._write()

    def _write(self) -> None:
        write_atomic(self._path, json.dumps(self._done, indent=1, sort_keys=True) + "\n")
