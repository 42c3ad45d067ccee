"""SSH keys of a lab: one for its people, one for each machine, all made on the host and pinned from the first byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apimachinery.kit.files import write_atomic
from provisioner.spec import Lab

IDENTITY = "id_ed25519"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A machine's host key. private: OpenSSH PEM; public: ``ssh-ed25519 AAAA… comment``."""

    private: bytes
    public: str


def ensure_keys(directory: Path, lab: Lab) -> None:
    """Make the missing keys under ``directory`` (mode 0700) and rewrite ``known_hosts`` from them."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    _ensure(directory / IDENTITY, f"kubelab-{lab.name}")
    lines = []
    for machine in lab.machines:
        _ensure(directory / f"{machine.name}_host_ed25519", machine.name)
        kind, key = host_key(directory, machine.name).public.split()[:2]
        lines.append(f"{machine.name},{machine.ip} {kind} {key}\n")
    write_atomic(directory / "known_hosts", "".join(lines))


def identity_public(directory: Path) -> str:
    """The public key that every machine of the lab lets in."""
    return (directory / f"{IDENTITY}.pub").read_text()


def host_key(directory: Path, machine: str) -> HostKey:
    path = directory / f"{machine}_host_ed25519"
    return HostKey(path.read_bytes(), Path(f"{path}.pub").read_text())


def machine_id(directory: Path, machine: str) -> str:
    """A machine's systemd machine-id: fresh with the lab's keys, the same for their life."""
    return hashlib.sha256(host_key(directory, machine).private + b"machine-id").hexdigest()[:32]


def _ensure(path: Path, comment: str) -> None:
    public = Path(f"{path}.pub")
    if path.exists() and public.exists():
        return
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_atomic(path, private, 0o600)
    write_atomic(public, f"{line.decode()} {comment}\n")
