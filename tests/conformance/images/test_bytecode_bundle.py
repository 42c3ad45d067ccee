"""The bundle's bytecode is what the machines' own interpreter makes and loads. Needs the package mirror once."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from provisioner.images.bundle import compile_bundle
from provisioner.images.cache import ensure
from provisioner.images.layers import ensure_chain, unpack_chain


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for package in ("apimachinery", "controlplane", "nodeagent"):
        (root / package).mkdir()
        (root / package / "__init__.py").write_text("")
    (root / "apimachinery/answer.py").write_text("type Number = int\n\ndef answer() -> Number:\n    return 42\n")
    (root / "apimachinery/data.json").write_text("{}")
    (root / "apimachinery/DESIGN.md").write_text("left out")
    return root


def test_the_guests_interpreter_runs_the_bundle_from_bytecode_alone(
    image_home: Path, sources: Path, tmp_path: Path
) -> None:
    bundle = compile_bundle(image_home, sources)
    with tarfile.open(bundle) as archive:
        names = archive.getnames()
    assert "apimachinery/__pycache__/answer.cpython-313.pyc" in names
    assert "apimachinery/data.json" in names
    assert not [name for name in names if name.endswith(".md")]

    root = tmp_path / "root"
    unpack_chain(ensure_chain(image_home, ("base", "glibc", "python"), lambda _: None), root)
    (root / "src").mkdir()
    subprocess.run(["tar", "-xf", bundle, "-C", root / "src"], check=True)
    # Unchecked bytecode: the interpreter must use it even though the source now says something else.
    (root / "src/apimachinery/answer.py").write_text("def answer():\n    return 0\n")
    code = "import sys; sys.path.insert(0, '/src'); from apimachinery.answer import answer; print(answer())"
    done = subprocess.run(
        ["chroot", root, "/usr/bin/python3.13", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"


def test_equal_sources_give_the_cached_bundle_and_a_changed_line_another(image_home: Path, sources: Path) -> None:
    first = compile_bundle(image_home, sources)
    assert compile_bundle(image_home, sources) == first
    (sources / "nodeagent/new.py").write_text("x = 1\n")
    assert compile_bundle(image_home, sources) != first


def test_a_finished_entry_is_not_built_again(image_home: Path) -> None:
    def build(target: Path) -> None:
        (target / "x").write_text("")

    def forbidden(target: Path) -> None:
        raise AssertionError("built twice")

    assert ensure(image_home, "tree", "0123", build) == ensure(image_home, "tree", "0123", forbidden)
