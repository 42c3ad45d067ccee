"""OCI layers, manifests and archives (image-spec 1.1), and reading them back."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from provisioner.images import oci
from provisioner.images.archive import Archive, Reference
from provisioner.images.errors import ImageError
from provisioner.images.layers import plan_names


def tree(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("#!/bin/sh\n")
    (root / "bin/tool").chmod(0o755)
    (root / "bin/link").symlink_to("tool")
    (root / "bin/same").hardlink_to(root / "bin/tool")
    return root


def image(root: Path) -> tuple[oci.Blob, oci.Blob, oci.Layer]:
    layer = oci.make_layer(oci.pack_tree(tree(root), ["bin", "bin/tool", "bin/link", "bin/same"]))
    config = oci.make_config(oci.ImageConfig(cmd=["tool"], env={"A": "b"}, ports=["80/tcp"]), [layer])
    return oci.make_manifest(config, [layer]), config, layer


def test_the_same_tree_gives_the_same_bytes_whenever_it_was_made(tmp_path: Path) -> None:
    first, _, _ = image(tmp_path / "one")
    os.utime(tree(tmp_path / "two") / "bin/tool", (1, 1))
    layer = oci.make_layer(oci.pack_tree(tmp_path / "two", ["bin/same", "bin/link", "bin/tool", "bin"]))
    assert json.loads(first.data)["layers"][0]["digest"] == layer.blob.digest


def test_layer_keeps_modes_links_and_hard_links(tmp_path: Path) -> None:
    _, _, layer = image(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(layer.blob.data)) as archive:
        entries = {entry.name: entry for entry in archive}
    assert entries["bin/tool"].islnk() and entries["bin/tool"].linkname == "bin/same"
    assert entries["bin/same"].mode == 0o755
    assert entries["bin/link"].linkname == "tool"
    assert {entry.mtime for entry in entries.values()} == {oci.EPOCH}


def test_diff_id_is_the_digest_of_the_uncompressed_tar(tmp_path: Path) -> None:
    _, config, layer = image(tmp_path)
    uncompressed = hashlib.sha256(gzip.decompress(layer.blob.data)).hexdigest()
    assert json.loads(config.data)["rootfs"]["diff_ids"] == [f"sha256:{uncompressed}"]


def test_archive_names_its_image_and_holds_every_blob(tmp_path: Path) -> None:
    manifest, config, layer = image(tmp_path / "tree")
    path = tmp_path / "image.tar"
    path.write_bytes(oci.render_archive("docker.io/library/x:1", manifest, [config, layer.blob]))
    with Archive(path) as archive:
        [(name, descriptor)] = archive.images()
        assert name == "docker.io/library/x:1"
        assert archive.blob(descriptor["digest"]) == manifest.data
        for part in (json.loads(manifest.data)["config"], *json.loads(manifest.data)["layers"]):
            assert hashlib.sha256(archive.blob(part["digest"])).hexdigest() == part["digest"][7:]
        with pytest.raises(ImageError, match="incomplete"):
            archive.blob("sha256:" + "0" * 64)


@pytest.mark.parametrize("content", [b"", b"not a tar", None], ids=["empty", "text", "absent"])
def test_what_is_no_archive_is_explained(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match="is no OCI image archive"):
        Archive(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("kubelab/dns:0.1.0", "docker.io/kubelab/dns:0.1.0"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("localhost/a", "localhost/a:latest"),
    ],
)
def test_familiar_names(text: str, expected: str) -> None:
    assert str(Reference.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "x@sha256:00"])
def test_names_that_name_no_tag_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Reference.parse(text)


def test_a_layer_holds_only_what_the_layers_below_lack(tmp_path: Path) -> None:
    below, upper = tree(tmp_path / "below"), tree(tmp_path / "upper")
    assert plan_names(upper, below) == []
    (upper / "bin/tool").unlink()
    (upper / "bin/tool").write_text("changed")
    (upper / "new/deep").mkdir(parents=True)
    (upper / "new/deep/file").write_text("x")
    (upper / "bin/link").unlink()
    (upper / "bin/link").symlink_to("same")
    assert plan_names(upper, below) == ["bin", "bin/link", "bin/tool", "new", "new/deep", "new/deep/file"]
