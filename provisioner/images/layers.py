"""The layers of the container images: Debian packages unpacked, minus what an earlier layer of the chain holds."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from provisioner.images import cache, oci, rootfs, wheels
from provisioner.images.recipes import RECIPES, read_list
from provisioner.images.tools import require_tools, run_tool

_LAYERS = RECIPES / "oci" / "layers"
_LOCK = RECIPES / "guest" / "requirements.lock"
_PAUSE = RECIPES / "oci" / "pause" / "pause.c"

Report = Callable[[str], None]


def ensure_chain(home: Path, names: Sequence[str], report: Report) -> list[Path]:
    """The cached layers ``names``, bottom first, each built on those before it. Directories for ``load_layer``."""
    chain: list[Path] = []
    for name in names:
        digest = layer_digest(name, [path.name for path in chain])
        chain.append(cache.ensure(home, "layer", digest, partial(_build, name, tuple(chain), report)))
    return chain


def load_layer(folder: Path) -> oci.Layer:
    """A cached layer as it goes into an image."""
    manifest = json.loads((folder / "layer.json").read_text())
    return oci.Layer(oci.Blob(oci.LAYER_TYPE, (folder / "layer.tar.gz").read_bytes()), manifest["diff_id"])


def layer_digest(name: str, parents: Sequence[str]) -> str:
    """The hash of what makes the layer: its recipe, special inputs, the layers below and the code."""
    special = {"venv": [_LOCK], "pause": [_PAUSE]}.get(name, [])
    here = Path(__file__).parent
    modules = ("layers", "oci", "rootfs", "wheels")
    return cache.digest_of(
        [
            ("name", name),
            ("parents", " ".join(parents)),
            *((path.name, path.read_bytes()) for path in special),
            *(cache.directory_parts(_LAYERS / name, name) if (_LAYERS / name).is_dir() else ()),
            *cache.source_parts(*(here / f"{module}.py" for module in modules)),
        ]
    )


def unpack_chain(chain: Sequence[Path], target: Path) -> None:
    """The file system that a container of these layers sees, in ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    for folder in chain:
        with tarfile.open(folder / "layer.tar.gz") as archive:
            # Ours, and devices are among it. Debian 12's Python knows no filters; later ones ask for a decision.
            archive.extraction_filter = lambda member, _: member
            archive.extractall(target)


def _build(name: str, parents: Sequence[Path], report: Report, target: Path) -> None:
    report(f"container images: layer {name}")
    recipe, tree, below = _LAYERS / name, target / "tree", target / "below"
    packages = recipe / "packages.txt"
    if packages.is_file():
        rootfs.bootstrap(tree, read_list(packages), variant="extract")
    else:
        tree.mkdir()
    unpack_chain(parents, below)
    drop = recipe / "drop.txt"
    for pattern in read_list(drop) if drop.is_file() else ():
        for path in list(tree.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if finish := SPECIAL.get(name):
        finish(tree, below)
    if (recipe / "files").is_dir():
        _overlay(recipe / "files", tree)
    tar = oci.pack_tree(tree, plan_names(tree, below))
    layer = oci.make_layer(tar)
    (target / "layer.tar.gz").write_bytes(layer.blob.data)
    (target / "layer.json").write_text(json.dumps({"name": name, "diff_id": layer.diff_id}) + "\n")
    cache.remove_tree(tree)
    cache.remove_tree(below)


def plan_names(tree: Path, below: Path) -> list[str]:
    """What of ``tree`` the layer must hold: everything that ``below`` lacks or has differently, with its parent
    folders."""
    names: set[str] = set()
    for name in _walk(tree):
        upper, lower = tree / name, below / name
        if not _same(upper, lower):
            names.add(name)
            names.update(str(parent) for parent in Path(name).parents if str(parent) != ".")
    return sorted(names)


def _walk(tree: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(tree):
        for entry in sorted([*folders, *files]):
            path = Path(folder) / entry
            if path.is_dir() or path.is_file() or path.is_symlink():
                yield str(path.relative_to(tree))


def _same(upper: Path, lower: Path) -> bool:
    if upper.is_symlink() or lower.is_symlink():
        return upper.is_symlink() and lower.is_symlink() and upper.readlink() == lower.readlink()
    if upper.is_dir():
        return lower.is_dir()
    return lower.is_file() and filecmp.cmp(upper, lower, shallow=False)


def _overlay(files: Path, tree: Path) -> None:
    """Copy recipe files over a tree as root's, readable by all whatever the checkout's umask was."""
    for path in sorted(files.rglob("*")):
        target = tree / path.relative_to(files)
        if path.is_symlink():
            target.unlink(missing_ok=True)
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(exist_ok=True, parents=True)
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            os.chown(target, 0, 0)


def _finish_base(tree: Path, below: Path) -> None:
    """Every busybox applet by its name, /tmp for all, and the folders that programs expect."""
    applets = run_tool(tree / "usr/bin/busybox", "--list").decode().split()
    for applet in applets:
        link = tree / "usr/bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    (tree / "tmp").mkdir(exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    for folder in ("root", "etc", "usr/local/bin", "usr/sbin"):
        (tree / folder).mkdir(parents=True, exist_ok=True)


def _finish_python(tree: Path, below: Path) -> None:
    """Bytecode of the standard library; maintainer scripts, which would make it, do not run here."""
    _compile(tree, below, Path(f"usr/lib/python{wheels.PYTHON_VERSION}"))


def _finish_venv(tree: Path, below: Path) -> None:
    """The locked wheels, compiled by the interpreter of the layers below."""
    wheels.install_wheels(tree / wheels.VENV, _LOCK)
    _compile(tree, below, wheels.VENV)


def _compile(tree: Path, below: Path, folder: Path) -> None:
    """Byte-compile ``folder`` of ``tree`` in a chroot that holds the layers below it as well."""
    root = below.with_name("compile")
    run_tool("cp", "-a", below, root)
    run_tool("cp", "-a", "--remove-destination", f"{tree}/.", root)
    wheels.check_libraries(root, f"/{folder}")
    wheels.compile_in(root, f"/{folder}")
    cache.remove_tree(tree / folder)
    shutil.move(root / folder, tree / folder)
    cache.remove_tree(root)


def _finish_pause(tree: Path, below: Path) -> None:
    require_tools("gcc")
    flags = ("-Os", "-static", "-s", "-Wall", "-Wl,--build-id=none", f"-ffile-prefix-map={_PAUSE.parent}=.")
    run_tool("gcc", *flags, "-o", tree / "pause", _PAUSE)


#: Layers that need more than unpacking packages and copying files: ``(tree of the layer, what lies below it)``.
SPECIAL: Mapping[str, Callable[[Path, Path], None]] = {
    "base": _finish_base,
    "python": _finish_python,
    "venv": _finish_venv,
    "pause": _finish_pause,
}
