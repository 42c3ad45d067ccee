"""Certificates on disk: `kubelet-client-2026-11-21-09-06-17.pem`, and `kubelet-client-current.pem`, a link to it.

As upstream's certificate store (k8s.io/client-go/util/certificate): one file has the certificate and the key.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit.files import write_atomic


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (perhaps with its chain) and its key, PEM."""

    cert: bytes
    key: bytes


class CertificateStore:
    """The files `NAME-*.pem` of a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name

    @property
    def current_path(self) -> Path:
        return self._directory / f"{self._name}-current.pem"

    def current(self) -> Pair | None:
        """What the link leads to; None when there is nothing that can be used."""
        try:
            return split(self.current_path.read_bytes())
        except (OSError, ValueError):
            return None

    def update(self, pair: Pair, now: datetime.datetime) -> Path:
        """Keep a new pair and make it the current one; its file. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._directory / f"{self._name}-{now:%Y-%m-%d-%H-%M-%S}.pem"
        write_atomic(file, pair.cert.rstrip(b"\n") + b"\n" + pair.key, 0o600)
        link = self._directory / f"{self._name}-updated.pem"
        link.unlink(missing_ok=True)
        link.symlink_to(file)
        link.replace(self.current_path)
        return file


def split(data: bytes) -> Pair:
    """The certificates and the key of a file that has both. Raises ValueError."""
    blocks: list[tuple[bytes, bytes]] = []
    for part in data.split(b"-----BEGIN ")[1:]:
        kind = part.split(b"-----", 1)[0]
        end = part.find(b"-----END " + kind + b"-----")
        if end >= 0:
            blocks.append((kind, b"-----BEGIN " + part[: end + len(kind) + 14] + b"\n"))
    cert = b"".join(block for kind, block in blocks if kind == b"CERTIFICATE")
    key = b"".join(block for kind, block in blocks if kind.endswith(b"PRIVATE KEY"))
    if not cert or not key:
        raise ValueError("a certificate and its key were expected")
    return Pair(cert, key)
