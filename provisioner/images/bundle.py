"""Our packages with the guest's bytecode, as one archive to unpack in ``/opt/kubelab/src`` of every machine.

Compiling inside an emulated guest takes minutes; here the guest's interpreter runs in a chroot on this machine, and
only for files it has not compiled before, so that ``kubelab sync`` after a changed line takes well under a second.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from provisioner.images import cache, layers
from provisioner.images.oci import EPOCH
from provisioner.images.wheels import PYTHON_VERSION, compile_in

#: The packages that machines run.
PACKAGES = ("apimachinery", "controlplane", "nodeagent")

#: Where the machines have them. Bytecode that names its final place need not be rewritten at each import.
SOURCE_DIRECTORY = "/opt/kubelab/src"

_TAG = f"cpython-{PYTHON_VERSION.replace('.', '')}"


def compile_bundle(
    home: Path,
    src_root: Path,
    report: Callable[[str], None] = lambda _: None,
    *,
    packages: Sequence[str] = PACKAGES,
) -> Path:
    """A reproducible ``.tar.gz`` of ``packages`` under ``src_root``, each module with its bytecode; cached by content.

    The archive's members are ``apimachinery/…``, ``controlplane/…``, ``nodeagent/…``, owned by root. Raises
    ``ImageError``.
    """
    sources = {str(name): path.read_bytes() for name, path in walk_sources(src_root, packages)}
    chain = layers.ensure_chain(home, ("base", "glibc", "python"), report)
    digest = cache.digest_of(
        [("python", chain[-1].name), *cache.source_parts(Path(__file__)), *sorted(sources.items())]
    )

    def build(target: Path) -> None:
        report("code: compiling for the machines")
        bytecode = _compile(home, chain, sources)
        (target / "bundle.tar.gz").write_bytes(render_bundle(sources, bytecode))

    return cache.ensure(home, "bundle", digest, build) / "bundle.tar.gz"


def walk_sources(src_root: Path, packages: Sequence[str] = PACKAGES) -> Iterator[tuple[PurePosixPath, Path]]:
    """The files that machines get: everything in the packages except bytecode and documents, in sorted order."""
    for package in packages:
        for path in sorted((src_root / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".md", ".pyc"):
                yield PurePosixPath(path.relative_to(src_root)), path


def render_bundle(sources: Mapping[str, bytes], bytecode: Mapping[str, bytes]) -> bytes:
    """The archive of ``sources`` and ``bytecode`` (name → content); equal input gives equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted({**sources, **bytecode}.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), 0o644, EPOCH
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0)


def bytecode_name(name: str) -> str:
    """``a/b.py`` → ``a/__pycache__/b.cpython-313.pyc`` (PEP 3147)."""
    path = PurePosixPath(name)
    return str(path.parent / "__pycache__" / f"{path.stem}.{_TAG}.pyc")


def _compile(home: Path, chain: list[Path], sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Bytecode of every module by its name in the archive. What was compiled before comes from the interpreter's
    cache."""

    def unpack(target: Path) -> None:
        layers.unpack_chain(chain, target / "root")
        (target / "pyc").mkdir()

    digest = cache.digest_of([("tree", " ".join(folder.name for folder in chain)), *cache.source_parts(Path(__file__))])
    tree = cache.ensure(home, "tree", digest, unpack)
    keys = {n: hashlib.sha256(f"{n}\0".encode() + data).hexdigest() for n, data in sources.items() if n.endswith(".py")}
    stored = {name: tree / "pyc" / key for name, key in keys.items()}
    if missing := [name for name, path in stored.items() if not path.exists()]:
        staging = Path(tempfile.mkdtemp(prefix="compile-", dir=tree / "root"))
        try:
            for name in missing:
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(sources[name])
            inside = f"/{staging.name}"
            compile_in(tree / "root", "-s", inside, "-p", SOURCE_DIRECTORY, inside)
            for name in missing:
                (staging / bytecode_name(name)).rename(stored[name])
        finally:
            shutil.rmtree(staging)
    return {bytecode_name(name): path.read_bytes() for name, path in stored.items()}
