"""Digests of what goes to the machines: the journal's way of telling what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from provisioner.shell import File
from provisioner.spec import Machine

#: What each part of a machine runs, so that a change restarts that part alone.
NODE_AGENT = ("apimachinery", "nodeagent")
CONTROL_PLANE = ("apimachinery", "controlplane")
ALL_CODE = ("apimachinery", "controlplane", "nodeagent")
WORKER = ("apimachinery", "controlplane/metricsserver", "nodeagent")


def packages_of(machine: Machine) -> tuple[str, ...]:
    """What a machine gets: on a worker runs the node agent, the DNS, which is part of it, and the metrics server."""
    return ALL_CODE if machine.is_master else WORKER


@cache
def code_digest(source: Path, packages: Sequence[str]) -> str:
    """A digest of the packages under ``source``: names and contents of what machines get. Once per process."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((source / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".md", ".pyc"):
                digest.update(f"{path.relative_to(source)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def files_digest(files: Mapping[str, File]) -> str:
    """A digest of names, modes and contents."""
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        digest.update(f"{path}\0{file.mode:o}\0{len(file.data)}\0".encode())
        digest.update(file.data)
    return digest.hexdigest()[:16]


def text_digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
