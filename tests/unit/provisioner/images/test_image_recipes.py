"""The recipes under images/ are consistent, and the code reads them as they mean."""

import re
import tomllib
from pathlib import Path

import pytest

from provisioner.images import layers, units
from provisioner.images.containers import read_recipe
from provisioner.images.disk import render_partition_table, render_syslinux
from provisioner.images.errors import ImageError
from provisioner.images.lock import render_lock
from provisioner.images.recipes import RECIPES, read_list
from provisioner.images.tools import failure_text, missing_tools, run_tool

IMAGES = sorted((RECIPES / "oci").glob("*/image.toml"))


@pytest.mark.parametrize("path", IMAGES, ids=[path.parent.name for path in IMAGES])
def test_every_image_recipe_reads_and_its_layers_exist(path: Path) -> None:
    for layer in read_recipe(path)["layers"]:
        assert (RECIPES / "oci/layers" / layer).is_dir() or layer in layers.SPECIAL


def test_images_have_the_names_that_the_control_plane_asks_for() -> None:
    assert {read_recipe(path)["name"] for path in IMAGES} == {
        "registry.k8s.io/pause:3.10",
        *(f"docker.io/library/{name}:latest" for name in ("busybox", "nginx", "python")),
        *(f"docker.io/kubelab/{name}:0.1.0" for name in ("control-plane", "dns", "etcd")),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [('name = "x"\nlayers = []\nentrpoint = []', "entrpoint"), ('name = "x"', "layers"), ("name =", "image.toml")],
    ids=["unknown key", "missing key", "syntax"],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "image.toml"
    path.write_text(text)
    with pytest.raises(ImageError, match=message):
        read_recipe(path)


def test_the_lock_pins_every_requirement_by_hash() -> None:
    lock = read_list(RECIPES / "guest/requirements.lock")
    pattern = re.compile(r"([a-z0-9-]+)==\S+ --hash=sha256:[0-9a-f]{64}")
    assert all(pattern.fullmatch(line) for line in lock)
    wanted = {re.split(r"[<>=]", line)[0] for line in read_list(RECIPES / "guest/requirements.in")}
    assert wanted <= {line.partition("==")[0] for line in lock}


def test_the_lock_covers_what_the_project_declares() -> None:
    project = tomllib.loads((RECIPES.parent / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert declared <= {line.partition("==")[0] for line in read_list(RECIPES / "guest/requirements.lock")}


def test_render_lock_names_no_index() -> None:
    item = {
        "metadata": {"name": "Big_Name", "version": "1.0"},
        "download_info": {"url": "https://index.example/x.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
    }
    assert render_lock({"install": [item]}).splitlines()[1:] == ["big-name==1.0 --hash=sha256:ab"]


def test_units_are_masked_unwanted_and_disabled(tmp_path: Path) -> None:
    system = tmp_path / "etc/systemd/system"
    (system / "multi-user.target.wants").mkdir(parents=True)
    (system / "multi-user.target.wants/etcd.service").symlink_to("/usr/lib/systemd/system/etcd.service")
    lines = ["mask a.service", "unwant multi-user.target b.service", "disable etcd.service", "generator g"]
    units.apply(tmp_path, lines)
    assert (system / "a.service").readlink() == Path("/dev/null")
    assert (system / "multi-user.target.wants/b.service").readlink() == Path("/dev/null")
    assert not (system / "multi-user.target.wants/etcd.service").is_symlink()
    assert (tmp_path / "etc/systemd/system-generators/g").readlink() == Path("/dev/null")
    with pytest.raises(ImageError, match="cannot read 'stop x'"):
        units.apply(tmp_path, ["stop x"])


def test_the_partitions_fill_the_disk_without_overlap() -> None:
    rows = re.findall(r"start=(\d+), size=(\d+)", render_partition_table(20 * 1024**3))
    (first_start, first_size), (second_start, second_size) = [(int(a), int(b)) for a, b in rows]
    assert first_start % 2048 == second_start % 2048 == 0
    assert first_start + first_size <= second_start
    assert (second_start + second_size) * 512 == 20 * 1024**3


def test_the_boot_loader_passes_the_command_line() -> None:
    assert "  APPEND root=/dev/vda2 quiet\n" in render_syslinux("root=/dev/vda2 quiet")


def test_no_recipe_names_a_package_host() -> None:
    hosts = re.compile(
        r"https?://(?!127\.|containerd\.io|.*MASTER)\S*(debian|ubuntu|pypi|mirror|github)\S*", re.IGNORECASE
    )
    for path in RECIPES.rglob("*"):
        if path.is_file():
            assert not hosts.search(path.read_text()), path


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("E: Temporary failure resolving 'mirror'", "check the network"),
        ("write error: No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for x", "Python package index"),
        ("NO_PUBKEY 6ED0E7B82643E131", "debian-archive-keyring"),
    ],
)
def test_known_failures_come_with_advice(output: str, advice: str) -> None:
    text = failure_text("mmdebstrap", 1, output)
    assert output in text
    assert advice in text


def test_failures_are_cut_to_their_last_lines() -> None:
    text = failure_text("x", 2, "\n".join(f"line {n}" for n in range(100)))
    assert "line 99" in text and "line 80" not in text


def test_a_failing_or_missing_program_is_an_image_error() -> None:
    with pytest.raises(ImageError, match=r"sh failed \(exit code 3\)"):
        run_tool("sh", "-c", "echo trouble >&2; exit 3")
    with pytest.raises(ImageError, match="no such program"):
        run_tool("kubelab-no-such-program")


def test_missing_tools_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("provisioner.images.tools._search_path", lambda: str(tmp_path))
    assert missing_tools(["mmdebstrap", "qemu-img"]) == {"mmdebstrap": "mmdebstrap", "qemu-img": "qemu-utils"}
