"""The lab's registry: its storage, prefilled in the guest image, and pushing further images to it over plain HTTP.

Sources: OCI distribution-spec 1.1 ("Pushing blobs", "Pushing manifests"); the storage layout is that of distribution
2.8 (registry/storage/paths.go).
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from provisioner.images.archive import Archive, Reference
from provisioner.images.containers import OciImage
from provisioner.images.errors import ImageError

#: Where the guest's docker-registry keeps its data.
STORAGE = Path("var/lib/docker-registry")

_TIMEOUT = 300.0


def fill_storage(tree: Path, images: Mapping[str, OciImage], content: Path) -> None:
    """Put ``images`` into the registry's storage below ``tree``, as hard links into containerd's store ``content``
    (``blobs/sha256``), so that each blob is on the disk once. A blob that containerd lacks is copied."""
    root = tree / STORAGE / "docker/registry/v2"
    for image in images.values():
        reference = Reference.parse(image.name)
        repository = root / "repositories" / reference.repository
        with Archive(image.archive) as archive:
            manifest = json.loads(archive.blob(image.digest))
            parts = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
            for digest in (image.digest, *parts):
                _place_blob(root, digest, content, archive)
        for digest in parts:
            _link(repository / "_layers/sha256" / _hex(digest) / "link", digest)
        _link(repository / "_manifests/revisions/sha256" / _hex(image.digest) / "link", image.digest)
        tag = repository / "_manifests/tags" / reference.tag
        _link(tag / "current/link", image.digest)
        _link(tag / "index/sha256" / _hex(image.digest) / "link", image.digest)
    owner = _owner(tree, "docker-registry")
    for folder, _, files in os.walk(tree / STORAGE):
        os.chown(folder, *owner)
        for name in files:
            if name == "link":
                os.chown(Path(folder) / name, *owner)


def load_image(base_url: str, archive: Path, name: str | None = None) -> list[str]:
    """Push the images of an OCI archive to the registry at ``base_url`` (``http://192.168.60.11:5000``).

    ``name`` gives an archive's only image another (or its first) name. Blobs that are there already are not sent again.
    Returns the full references pushed. Raises ``ImageError`` when the file is no archive, has no name, or the registry
    refuses or does not answer.
    """
    pushed = []
    with Archive(archive) as source:
        found = list(source.images())
        if name is not None and len(found) != 1:
            raise ImageError(f"{archive} holds {len(found)} images: a new name can be given to one only")
        for given, descriptor in found:
            if not (name or given):
                raise ImageError(f"{archive} does not say its image's name: give one (--name repository:tag)")
            try:
                reference = Reference.parse(name or given)
            except ValueError as e:
                raise ImageError(str(e)) from e
            raw = source.blob(descriptor["digest"])
            manifest = json.loads(raw)
            api = f"{base_url.rstrip('/')}/v2/{reference.repository}"
            for part in (manifest["config"], *manifest["layers"]):
                _push_blob(api, part["digest"], source)
            _request("PUT", f"{api}/manifests/{reference.tag}", raw, descriptor["mediaType"])
            pushed.append(str(reference))
    return pushed


def _push_blob(api: str, digest: str, source: Archive) -> None:
    status, _ = _request("HEAD", f"{api}/blobs/{digest}", None, None, accept=(404,))
    if status == 200:
        return
    _, location = _request("POST", f"{api}/blobs/uploads/", b"", None)
    upload = urllib.parse.urljoin(api, location)
    separator = "&" if urllib.parse.urlsplit(upload).query else "?"
    query = urllib.parse.urlencode({"digest": digest})
    _request("PUT", f"{upload}{separator}{query}", source.blob(digest), "application/octet-stream")


def _request(
    method: str, url: str, body: bytes | None, content_type: str | None, accept: tuple[int, ...] = ()
) -> tuple[int, str]:
    """Status and Location of the answer."""
    headers = {"Content-Type": content_type} if content_type else {}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    # The lab's addresses are on this machine: never through the environment's proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            return answer.status, answer.headers.get("Location", "")
    except urllib.error.HTTPError as e:
        if e.code in accept:
            return e.code, ""
        text = e.read(500).decode(errors="replace").strip()
        raise ImageError(f"the registry refused {method} {url}: {e.code} {e.reason} {text}") from e
    except (OSError, http.client.HTTPException) as e:
        host = urllib.parse.urlsplit(url).netloc
        raise ImageError(f"no registry answers at {host} ({e}): is the lab up? (kubelab status)") from e


def _place_blob(root: Path, digest: str, content: Path, archive: Archive) -> None:
    data = root / "blobs/sha256" / _hex(digest)[:2] / _hex(digest) / "data"
    if data.exists():
        return
    data.parent.mkdir(parents=True, exist_ok=True)
    stored = content / "blobs/sha256" / _hex(digest)
    if stored.is_file():
        data.hardlink_to(stored)
    else:
        data.write_bytes(archive.blob(digest))


def _link(path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(digest)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _owner(tree: Path, user: str) -> tuple[int, int]:
    for line in (tree / "etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == user:
            return int(fields[2]), int(fields[3])
    raise ImageError(f"the guest has no user {user}: is its package in images/guest/packages.txt?")
