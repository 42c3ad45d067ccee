"""Starting sooner: every module a daemon may import from one file, and what they generate while imported from it, too.

An import costs a path search, some system calls and bytecode to be checked and read; dataclasses, attrs and regular
expressions then compile code of their own, the same at each start. On an emulated processor a daemon of six hundred
modules spends more than a second on these. The archive (made where bytecode is made, `provisioner.images.starter`) has
all of it, read with one ``pread`` a module.

An archive is only believed by the interpreter and beside the packages that it was made with; otherwise, or without one,
everything is imported as ever. Nothing but the standard library's inner circle may be imported here.
"""

from __future__ import annotations

import marshal
import os
import sys
from _blake2 import blake2b  # hashlib would load OpenSSL
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader

TYPE_CHECKING = False  # typing's own would load it, and much with it, before there is an archive to load it from
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import Any

#: What an archive begins with, then the index's length in eight bytes (little-endian), the index, and the contents.
MAGIC = b"kubelab modules 1\n"

Place = tuple[int, int]  # offset and length in the contents


class Index:
    """What an archive has.

    made_by: the interpreter; beside: the packages. modules: name → (place of its code, its file, whether it is a
    package); extensions: name → file; generated: digest → place of its code; patterns: (pattern, flags) → place of
    what ``_sre.compile`` is called with.
    """

    def __init__(
        self,
        made_by: str,
        beside: tuple[str, ...],
        modules: Mapping[str, tuple[Place, str, bool]],
        extensions: Mapping[str, str],
        generated: Mapping[bytes, Place],
        patterns: Mapping[tuple[str | bytes, int], Place],
    ) -> None:
        self.made_by, self.beside = made_by, beside
        self.modules, self.extensions = modules, extensions
        self.generated, self.patterns = generated, patterns


def install(archive: str, site_packages: str) -> bool:
    """Import from ``archive`` from now on. False, and nothing changes: none, or one made for something else."""
    try:
        file = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    head = os.pread(file, len(MAGIC) + 8, 0)
    length = int.from_bytes(head[len(MAGIC) :], "little")
    data = os.pread(file, length, len(head))
    if not head.startswith(MAGIC) or len(data) != length:
        os.close(file)
        return False
    index = Index(*marshal.loads(data))
    if index.made_by != sys.version or index.beside != installed(site_packages):
        os.close(file)
        return False
    sys.meta_path.insert(0, Finder(index, lambda place: os.pread(file, place[1], len(head) + length + place[0])))
    return True


def installed(site_packages: str) -> tuple[str, ...]:
    """The names and versions of the packages that are installed there."""
    try:
        names = os.listdir(site_packages)  # noqa: PTH208  # pathlib is not loaded yet
    except OSError:
        return ()
    return tuple(sorted(name for name in names if name.endswith(".dist-info")))


def digest(source: str, file: str) -> bytes:
    """What a generated text and the file name that it goes by are known by in an archive."""
    return blake2b(f"{file}\0{source}".encode(), digest_size=12).digest()


class Finder:
    """Finds modules in an archive (PEP 451). ``read``: the bytes at a place."""

    def __init__(self, index: Index, read: Callable[[Place], bytes]) -> None:
        self._index, self._read = index, read

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if found := self._index.modules.get(name):
            _, file, is_package = found
            spec = ModuleSpec(name, Loader(name, file, self), origin=file, is_package=is_package)
            if is_package:
                spec.submodule_search_locations = [file.rpartition("/")[0]]
        elif extension := self._index.extensions.get(name):
            spec = ModuleSpec(name, ExtensionFileLoader(name, extension), origin=extension)
        else:
            return None
        spec.has_location = True
        return spec

    def code(self, name: str) -> CodeType:
        """A module's code."""
        code: CodeType = marshal.loads(self._read(self._index.modules[name][0]))
        return code

    def generated(self, source: str, file: str) -> CodeType:
        """The code of a text that a module makes while it is imported; compiled when the archive does not have it."""
        if place := self._index.generated.get(digest(source, file)):
            code: CodeType = marshal.loads(self._read(place))
            return code
        return compile(source, file, "exec", dont_inherit=True)

    def pattern(self, pattern: Any, flags: int) -> tuple[Any, ...] | None:
        """What ``_sre.compile`` makes the regular expression of."""
        place = self._index.patterns.get((pattern, flags)) if isinstance(pattern, str | bytes) else None
        return marshal.loads(self._read(place)) if place else None


class Loader(SourceFileLoader):
    """A module whose source is where it always is, for tracebacks and for people; its code is in the archive."""

    def __init__(self, name: str, path: str, finder: Finder) -> None:
        super().__init__(name, path)
        self._finder = finder

    def get_code(self, fullname: str) -> CodeType:
        return self._finder.code(fullname)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if change := _GENERATORS.get(module.__name__):
            change(module, self._finder)


def _change_dataclasses(module: Any, finder: Finder) -> None:
    # It calls exec() with the text of a class's methods; a module's own name comes before the builtin of that name.
    def run(source: str, names: dict[str, Any], local: dict[str, Any]) -> None:
        exec(finder.generated(source, "<string>"), names, local)

    module.exec = run


def _change_attrs(module: Any, finder: Finder) -> None:
    def find(source: str, file: str, _mode: str) -> CodeType:
        return finder.generated(source, file)

    module.compile = find


def _change_patterns(module: Any, finder: Finder) -> None:
    compile_anew, make = module.compile, module._sre.compile

    def find(pattern: Any, flags: int = 0) -> Any:
        arguments = finder.pattern(pattern, flags)
        return compile_anew(pattern, flags) if arguments is None else make(*arguments)

    module.compile = find


#: Modules that compile code for others.
_GENERATORS: Mapping[str, Callable[[Any, Finder], None]] = {
    "dataclasses": _change_dataclasses,
    "attr._make": _change_attrs,
    "re._compiler": _change_patterns,
}
