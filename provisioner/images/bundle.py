"""Our packages with the guest's bytecode, as one archive to unpack in ``/opt/kubelab/src`` of every machine.

Compiling inside an emulated guest takes minutes; here the guest's interpreter runs in a chroot on this machine, and
only for files it has not compiled before, so that ``kubelab sync`` after a changed line takes well under a second.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from provisioner.images import cache, layers, starter
from provisioner.images.oci import EPOCH
from provisioner.images.wheels import PYTHON_VERSION, compile_in

#: The packages that machines run.
PACKAGES = ("apimachinery", "controlplane", "nodeagent")

#: Where the machines have them. Bytecode that names its final place need not be rewritten at each import.
SOURCE_DIRECTORY = "/opt/kubelab/src"

#: The layers of the machines' interpreter.
_INTERPRETER = ("base", "glibc", "python")
_TAG = f"cpython-{PYTHON_VERSION.replace('.', '')}"


def compile_bundle(
    home: Path,
    src_root: Path,
    report: Callable[[str], None] = lambda _: None,
    *,
    packages: Sequence[str] = PACKAGES,
    modules: bool = False,
) -> Path:
    """A reproducible ``.tar.gz`` of ``packages`` under ``src_root``, each module with its bytecode; cached by content.

    The archive's members are ``apimachinery/…``, ``controlplane/…``, ``nodeagent/…``, owned by root. With ``modules``
    also the archive that their interpreter starts with (`provisioner.images.starter`): more to make and to move, so
    only for a new machine's disk. Raises ``ImageError``.
    """
    sources = {str(name): path.read_bytes() for name, path in walk_sources(src_root, packages)}
    chain = layers.ensure_chain(home, _INTERPRETER, report)
    # What our packages import is in the archive as well, and has to be there to be imported.
    full = layers.ensure_chain(home, (*_INTERPRETER, "venv"), report) if modules else chain
    digest = cache.digest_of(
        [
            ("python", full[-1].name),
            *cache.source_parts(Path(__file__), *(starter.SOURCES if modules else ())),
            *sorted(sources.items()),
        ]
    )

    def build(target: Path) -> None:
        report("code: compiling for the machines")
        bytecode = _compile(_tree(home, chain), sources)
        files = dict(sources)
        if modules:
            files[starter.ARCHIVE] = _collect(_tree(home, full), sources, bytecode)
            files[starter.STARTER] = starter.render_starter(SOURCE_DIRECTORY)
        (target / "bundle.tar.gz").write_bytes(render_bundle(files, bytecode, level=1 if modules else 6))

    return cache.ensure(home, "bundle", digest, build) / "bundle.tar.gz"


def walk_sources(src_root: Path, packages: Sequence[str] = PACKAGES) -> Iterator[tuple[PurePosixPath, Path]]:
    """The files that machines get: everything in the packages except bytecode and documents, in sorted order."""
    for package in packages:
        for path in sorted((src_root / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".md", ".pyc"):
                yield PurePosixPath(path.relative_to(src_root)), path


def render_bundle(sources: Mapping[str, bytes], bytecode: Mapping[str, bytes], level: int = 6) -> bytes:
    """The archive of ``sources`` and ``bytecode`` (name → content); equal input gives equal bytes. level: gzip's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted({**sources, **bytecode}.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), 0o644, EPOCH
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=level, mtime=0)


def bytecode_name(name: str) -> str:
    """``a/b.py`` → ``a/__pycache__/b.cpython-313.pyc`` (PEP 3147)."""
    path = PurePosixPath(name)
    return str(path.parent / "__pycache__" / f"{path.stem}.{_TAG}.pyc")


def _tree(home: Path, chain: list[Path]) -> Path:
    """The machines' interpreter with its libraries, to run in a chroot, and what it compiled before."""

    def unpack(target: Path) -> None:
        layers.unpack_chain(chain, target / "root")
        (target / "pyc").mkdir()

    digest = cache.digest_of([("tree", " ".join(folder.name for folder in chain)), *cache.source_parts(Path(__file__))])
    return cache.ensure(home, "tree", digest, unpack)


def _compile(tree: Path, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Bytecode of every module by its name in the archive. What was compiled before comes from the interpreter's
    cache."""
    keys = {n: hashlib.sha256(f"{n}\0".encode() + data).hexdigest() for n, data in sources.items() if n.endswith(".py")}
    stored = {name: tree / "pyc" / key for name, key in keys.items()}
    if missing := {name: sources[name] for name, path in stored.items() if not path.exists()}:
        with _staged(tree, missing) as inside:
            compile_in(tree / "root", "-s", inside, "-p", SOURCE_DIRECTORY, inside)
            for name in missing:
                (tree / f"root{inside}" / bytecode_name(name)).rename(stored[name])
    return {bytecode_name(name): path.read_bytes() for name, path in stored.items()}


def _collect(tree: Path, sources: Mapping[str, bytes], bytecode: Mapping[str, bytes]) -> bytes:
    names = {module_name(name): name for name in sorted(sources) if name.endswith(".py")}
    with _staged(tree, {**sources, **bytecode}) as inside:
        return starter.collect(tree / "root", inside, SOURCE_DIRECTORY, names)


def module_name(name: str) -> str:
    """``a/b.py`` → ``a.b``, ``a/__init__.py`` → ``a``."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@contextlib.contextmanager
def _staged(tree: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """A folder with ``files`` for the time of the block: its path inside the tree's root."""
    staging = Path(tempfile.mkdtemp(prefix="compile-", dir=tree / "root"))
    try:
        for name, data in files.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield f"/{staging.name}"
    finally:
        shutil.rmtree(staging)
