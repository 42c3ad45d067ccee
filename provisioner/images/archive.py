"""Reading image archives: OCI layouts, as ``ensure_oci_images``, ``docker buildx``, ``podman save`` and ``skopeo``
write them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from provisioner.images.errors import ImageError
from provisioner.images.oci import INDEX_TYPE

_INDEX_TYPES = (INDEX_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json")


@dataclass(frozen=True)
class Reference:
    """An image name in its parts: ``docker.io/library/nginx:latest`` is registry, repository and tag."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Docker's familiar names: ``nginx`` means ``docker.io/library/nginx:latest``. ``ValueError`` for an empty
        name."""
        name, digest_sign, _ = text.partition("@")
        if not name or digest_sign:
            raise ValueError(f"image name {text!r} is not of the form [registry/]repository[:tag]")
        first, slash, rest = name.partition("/")
        is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
        registry, path = (first, rest) if is_registry else ("docker.io", name)
        repository, colon, tag = path.rpartition(":")
        if not colon or "/" in tag:
            repository, tag = path, "latest"
        if registry == "docker.io" and "/" not in repository:
            repository = f"library/{repository}"
        return cls(registry, repository, tag)

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


class Archive:
    """An open OCI image layout in a tar file. Raises ``ImageError`` when the file is none."""

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path)  # noqa: SIM115 (closed by __exit__)
            self._index = self._json(self._read("index.json"))
        except (OSError, tarfile.TarError, KeyError, ValueError) as e:
            advice = "'docker buildx build -o type=oci', 'podman save --format oci-archive' or 'skopeo copy'"
            raise ImageError(f"{path} is no OCI image archive: make one with {advice}") from e
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def blob(self, digest: str) -> bytes:
        """The content of ``sha256:…``. Raises ``ImageError`` when the archive lacks it."""
        algorithm, _, value = digest.partition(":")
        try:
            return self._read(f"blobs/{algorithm}/{value}")
        except KeyError:
            raise ImageError(f"{self.path} is incomplete: it lacks {digest}") from None

    def images(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each image's name (empty when the archive gives none) and manifest descriptor, for linux/amd64."""
        for descriptor in self._index["manifests"]:
            notes = descriptor.get("annotations", {})
            name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name", "")
            yield name, self._for_platform(descriptor)

    def _for_platform(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        if descriptor["mediaType"] not in _INDEX_TYPES:
            return descriptor
        for entry in self._json(self.blob(descriptor["digest"]))["manifests"]:
            platform = entry.get("platform", {})
            if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
                return self._for_platform(entry)
        raise ImageError(f"{self.path} holds no image for linux/amd64")

    def _read(self, name: str) -> bytes:
        for spelling in (name, f"./{name}"):
            try:
                member = self._tar.extractfile(spelling)
            except KeyError:
                continue
            if member is not None:
                return member.read()
        raise KeyError(name)

    @staticmethod
    def _json(data: bytes) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(data)
        return content
