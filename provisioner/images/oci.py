"""The OCI image format, without a container engine: layers, configurations, manifests, archives; all reproducible.

Sources: OCI image-spec 1.1 (layer.md, config.md, manifest.md, image-layout.md) and, for the archive's name annotation,
containerd's importer (``io.containerd.image.name``).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

#: Every time stamp in our images: they must not depend on when they were built. 2025-01-01T00:00:00Z.
EPOCH = 1735689600
_CREATED = "2025-01-01T00:00:00Z"


@dataclass(frozen=True)
class Blob:
    """Content with its descriptor. ``digest`` is ``sha256:…``."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def descriptor(self, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
        described: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}
        return {**described, "annotations": dict(annotations)} if annotations else described


@dataclass(frozen=True)
class Layer:
    """A gzip-compressed layer. ``diff_id`` is the digest of the uncompressed tar (config.md, "rootfs")."""

    blob: Blob
    diff_id: str


@dataclass(frozen=True)
class ImageConfig:
    """What a container of the image runs by default."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    ports: Sequence[str] = ()
    stop_signal: str = ""


def pack_tree(root: Path, names: Iterable[str]) -> bytes:
    """An uncompressed tar of ``names`` (relative to ``root``; a folder stands only for itself), in their sorted order.

    Owners and modes are the files' own, times are ``EPOCH``, hard links are stored as links to the first name.
    """
    buffer = io.BytesIO()
    first_names: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(names):
            path = root / name
            status = path.lstat()
            entry = tarfile.TarInfo(name)
            entry.mode, entry.uid, entry.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
            entry.mtime = EPOCH
            if stat.S_ISDIR(status.st_mode):
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            elif stat.S_ISLNK(status.st_mode):
                entry.type, entry.linkname = tarfile.SYMTYPE, os.fspath(path.readlink())
                archive.addfile(entry)
            elif stat.S_ISREG(status.st_mode):
                first = first_names.setdefault((status.st_dev, status.st_ino), name)
                if first != name:
                    entry.type, entry.linkname = tarfile.LNKTYPE, first
                    archive.addfile(entry)
                else:
                    entry.size = status.st_size
                    with path.open("rb") as file:
                        archive.addfile(entry, file)
    return buffer.getvalue()


def make_layer(tar: bytes) -> Layer:
    """Compress a layer's tar; equal input gives equal bytes (for one version of zlib)."""
    blob = Blob(LAYER_TYPE, gzip.compress(tar, compresslevel=6, mtime=0))
    return Layer(blob, f"sha256:{hashlib.sha256(tar).hexdigest()}")


def make_config(config: ImageConfig, layers: Sequence[Layer], architecture: str = "amd64") -> Blob:
    """The image configuration blob (config.md); empty fields are left out, as other builders do."""
    env = [f"{name}={value}" for name, value in config.env.items()]
    run: dict[str, Any] = {"Env": env, "WorkingDir": config.workdir}
    optional = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.ports},
        "StopSignal": config.stop_signal,
    }
    run.update({key: value for key, value in optional.items() if value})
    return Blob(
        CONFIG_TYPE,
        _json(
            {
                "created": _CREATED,
                "architecture": architecture,
                "os": "linux",
                "config": run,
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
                "history": [{"created": _CREATED, "created_by": "kubelab image build"} for _ in layers],
            }
        ),
    )


def make_manifest(config: Blob, layers: Sequence[Layer]) -> Blob:
    """The manifest blob (manifest.md)."""
    content = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor(),
        "layers": [layer.blob.descriptor() for layer in layers],
    }
    return Blob(MANIFEST_TYPE, _json(content))


def render_archive(name: str, manifest: Blob, blobs: Sequence[Blob]) -> bytes:
    """An OCI image layout as a tar (image-layout.md) that ``ctr images import`` takes and names ``name``."""
    tag = name.rpartition(":")[2]
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
    descriptor = manifest.descriptor(annotations)
    descriptor["platform"] = {"architecture": "amd64", "os": "linux"}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [descriptor]}),
        **{f"blobs/sha256/{blob.digest.partition(':')[2]}": blob.data for blob in (manifest, *blobs)},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in ("blobs", "blobs/sha256"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            archive.addfile(entry)
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime = len(data), EPOCH
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
