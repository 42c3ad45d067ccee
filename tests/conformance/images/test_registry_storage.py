"""A real docker-registry serves what we prefill and takes what we push (OCI distribution-spec 1.1)."""

import hashlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.images.archive import Archive
from provisioner.images.containers import OciImage
from provisioner.images.errors import ImageError
from provisioner.images.oci import MANIFEST_TYPE
from provisioner.images.registry import STORAGE, fill_storage, load_image


def get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": MANIFEST_TYPE})
    with urllib.request.urlopen(request, timeout=20) as answer:
        data: bytes = answer.read()
        return data


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\ndocker-registry:x:0:0::/:/bin/false\n")
    (tmp_path / STORAGE).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def registry(tree: Path) -> Iterator[str]:
    """The address of a docker-registry on the storage below ``tree``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = tree / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tree / STORAGE}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (tree / "log").open("wb") as log:
        daemon = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                get(f"{url}/v2/")
                break
            except (OSError, urllib.error.URLError):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"docker-registry did not start:\n{(tree / 'log').read_text()[-2000:]}")
                time.sleep(0.05)
        yield url
    finally:
        daemon.terminate()
        daemon.wait(30)


def assert_serves(url: str, repository: str, tag: str, image: OciImage) -> None:
    raw = get(f"{url}/v2/{repository}/manifests/{tag}")
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == image.digest
    manifest = json.loads(raw)
    for part in (manifest["config"], *manifest["layers"]):
        blob = get(f"{url}/v2/{repository}/blobs/{part['digest']}")
        assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == part["digest"]
        assert len(blob) == part["size"]


def test_prefilled_storage_is_served(tree: Path, registry: str, pause_image: OciImage) -> None:
    fill_storage(tree, {"pause": pause_image}, tree / "no-containerd-store")
    assert_serves(registry, "pause", "3.10", pause_image)
    assert json.loads(get(f"{registry}/v2/pause/tags/list"))["tags"] == ["3.10"]


def test_blobs_that_containerd_holds_are_linked_not_copied(tree: Path, pause_image: OciImage) -> None:
    content = tree / "content"
    (content / "blobs/sha256").mkdir(parents=True)
    with Archive(pause_image.archive) as archive:
        stored = content / "blobs/sha256" / pause_image.digest.removeprefix("sha256:")
        stored.write_bytes(archive.blob(pause_image.digest))
    fill_storage(tree, {"pause": pause_image}, content)
    assert stored.stat().st_nlink == 2


def test_an_archive_is_pushed_under_its_own_and_under_another_name(registry: str, pause_image: OciImage) -> None:
    assert load_image(registry, pause_image.archive) == ["registry.k8s.io/pause:3.10"]
    assert_serves(registry, "pause", "3.10", pause_image)
    assert load_image(registry, pause_image.archive, "mine:v2") == ["docker.io/library/mine:v2"]
    assert_serves(registry, "library/mine", "v2", pause_image)


def test_pushing_again_changes_nothing(registry: str, pause_image: OciImage) -> None:
    load_image(registry, pause_image.archive)
    load_image(registry, pause_image.archive)
    assert_serves(registry, "pause", "3.10", pause_image)


def test_no_registry_is_explained(pause_image: OciImage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(ImageError, match="no registry answers at"):
        load_image(f"http://127.0.0.1:{port}", pause_image.archive)


def test_a_refusal_is_passed_on(registry: str, pause_image: OciImage) -> None:
    with pytest.raises(ImageError, match="refused"):
        load_image(registry, pause_image.archive, "UPPERCASE/Name:v1")
