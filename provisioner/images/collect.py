"""Run by the machines' interpreter, in a chroot of their tree: what importing our modules loads and generates, as an
archive (`apimachinery.kit.imports`, without its magic) on standard output. Standard input says of what, as JSON."""

from __future__ import annotations

import importlib
import importlib.util
import marshal
import sys
from _blake2 import blake2b
from importlib.machinery import ExtensionFileLoader, SourceFileLoader

TYPE_CHECKING = False  # what is imported before the recording begins is not recorded
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

_HEADER = 16  # bytes of a .pyc before its code (PEP 552)

contents: list[bytes] = []
size = 0
generated: dict[bytes, tuple[int, int]] = {}
patterns: dict[tuple[str | bytes, int], tuple[int, int]] = {}


def store(data: bytes) -> tuple[int, int]:
    global size
    place = (size, len(data))
    contents.append(data)
    size += len(data)
    return place


class RecordingSre:
    """`_sre`, which remembers what it made the last pattern of."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.arguments: tuple[Any, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def compile(self, *arguments: Any) -> Any:
        self.arguments = arguments
        return self._real.compile(*arguments)


def plain(pattern: Any, flags: int, code: list[int], groups: int, index: dict[str, int], names: Any) -> tuple[Any, ...]:
    """Arguments of ``_sre.compile`` without the named integers that they are made of."""
    return pattern, int(flags), [int(each) for each in code], groups, dict(index), names


def record_patterns() -> None:
    compiler: Any = importlib.import_module("re._compiler")
    sre = RecordingSre(compiler._sre)
    compile_anew, anew = compiler.compile, compiler.SRE_FLAG_LOCALE | compiler.SRE_FLAG_DEBUG
    compiler._sre = sre

    def record(pattern: Any, flags: int = 0) -> Any:
        made = compile_anew(pattern, flags)
        # A locale's letters are not known here; a debugged pattern is printed while it is compiled.
        if isinstance(pattern, str | bytes) and not flags & anew:
            patterns.setdefault((pattern, int(flags)), store(marshal.dumps(plain(*sre.arguments))))
        return made

    compiler.compile = record


def record_text(source: str, file: str, _mode: str = "exec") -> CodeType:
    code = compile(source, file, "exec", dont_inherit=True)
    generated.setdefault(blake2b(f"{file}\0{source}".encode(), digest_size=12).digest(), store(marshal.dumps(code)))
    return code


def record_classes() -> None:
    import dataclasses

    def run(source: str, names: dict[str, Any], local: dict[str, Any]) -> None:
        exec(record_text(source, "<string>"), names, local)

    vars(dataclasses)["exec"] = run
    if importlib.util.find_spec("attr"):
        import attr._make

        vars(attr._make)["compile"] = record_text


def main() -> None:
    record_patterns()
    import json
    from pathlib import Path

    wanted = json.load(sys.stdin)
    answer, sys.stdout = sys.stdout.buffer, sys.stderr
    folder, staging = wanted["folder"], wanted["staging"]
    sys.path[:] = [staging, *(path for path in sys.path if path), wanted["site_packages"]]
    record_classes()
    for name in wanted["modules"]:
        if name.rpartition(".")[2] != "__main__":
            try:
                importlib.import_module(name)
            except (Exception, SystemExit) as error:
                print(f"{name}: {error!r}", file=sys.stderr)

    modules: dict[str, tuple[tuple[int, int], str, bool]] = {}
    extensions: dict[str, str] = {}
    for name, file in wanted["modules"].items():
        cached = importlib.util.cache_from_source(f"{staging}/{file}")
        place = store(Path(cached).read_bytes()[_HEADER:])
        modules[name] = (place, f"{folder}/{file}", file.endswith("/__init__.py"))
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name in modules or spec is None or spec.name != name or not spec.origin:
            continue
        if isinstance(spec.loader, ExtensionFileLoader):
            extensions[name] = spec.origin
        elif isinstance(spec.loader, SourceFileLoader):
            place = store(marshal.dumps(spec.loader.get_code(name)))
            modules[name] = (place, spec.origin, spec.submodule_search_locations is not None)
    index = marshal.dumps((sys.version, tuple(wanted["beside"]), modules, extensions, generated, patterns))
    answer.write(len(index).to_bytes(8, "little") + index + b"".join(contents))


if __name__ == "__main__":
    main()
