"""The archive of modules: made by an interpreter, used by the next one."""

import json
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from apimachinery.kit.imports import MAGIC, installed
from provisioner.images import starter

ROOT = Path(__file__).parents[4]
SOURCES = {
    "shop/__init__.py": "WHERE = __file__\n",
    "shop/goods.py": (
        "import dataclasses, json.scanner, re\n"
        "WORD = re.compile(r'(?P<first>[a-z])\\w+', re.IGNORECASE)\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Apple:\n"
        "    weight: int\n"
        "    kind: str = 'plain'\n"
        "def sell():\n"
        "    raise ValueError('sold out')\n"
    ),
    "shop/broken.py": "import a_package_that_nobody_has\n",
    "shop/__main__.py": "print('as a program')\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages, their bytecode, an archive of them, and a folder of other packages beside."""
    place = tmp_path_factory.mktemp("place")
    (place / "site/other-1.0.dist-info").mkdir(parents=True)
    for name, text in SOURCES.items():
        path = place / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        py_compile.compile(str(path), doraise=True)
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in SOURCES]
    wanted = {
        "folder": str(place / "src"),
        "staging": str(place / "src"),
        "site_packages": str(place / "site"),
        "beside": installed(str(place / "site")),
        "modules": dict(zip(names, SOURCES, strict=True)),
    }
    collect = (ROOT / "provisioner/images/collect.py").read_text()
    done = subprocess.run(
        [sys.executable, "-B", "-S", "-c", collect],
        input=json.dumps(wanted).encode(),
        capture_output=True,
        check=True,
    )
    (place / "modules.bin").write_bytes(MAGIC + done.stdout)
    return place


def run(place: Path, code: str) -> str:
    """What a fresh interpreter prints that has the archive before it imports anything else."""
    start = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(place / 'src')!r}]\n"
        "from apimachinery.kit.imports import install\n"
        f"print(install({str(place / 'modules.bin')!r}, {str(place / 'site')!r}))\n"
    )
    command = [sys.executable, "-B", "-S", "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_modules_and_what_they_generate_come_from_the_archive(place: Path) -> None:
    code = """
import apimachinery.kit.imports as imports
compiled = []
def watched(source, *rest, **options):
    compiled.append(source)
    return compile(source, *rest, **options)
imports.compile = watched
import re._compiler
def forbidden(*_): raise AssertionError("compiled anew")
re._compiler._code = forbidden
from shop.goods import Apple, WORD
print(Apple(3), Apple(3) == Apple(3), WORD.match("Pear")["first"], compiled)
print(type(sys.modules["shop.goods"].__loader__).__module__, type(sys.modules["json.scanner"].__loader__).__module__)
print(re.compile(r'(?P<first>[a-z])\\w+', re.IGNORECASE).groups)
"""
    assert run(place, code).splitlines() == [
        "True",
        "Apple(weight=3, kind='plain') True P []",
        "apimachinery.kit.imports apimachinery.kit.imports",
        "1",
    ]


def test_a_module_is_what_it_was_when_the_archive_was_made(place: Path, tmp_path: Path) -> None:
    moved = tmp_path / "src"
    (place / "src").rename(moved)
    try:
        assert run(place, "import shop.goods; print(shop.goods.Apple(1).weight)").split() == ["True", "1"]
    finally:
        moved.rename(place / "src")


def test_files_packages_and_tracebacks_are_as_ever(place: Path) -> None:
    code = """
import importlib.resources, importlib.util, traceback, shop, shop.goods
print(shop.WHERE == shop.__file__, shop.__path__ == [shop.__file__.rpartition("/")[0]], shop.goods.__package__)
print(importlib.resources.files("shop").joinpath("goods.py").read_text().startswith("import dataclasses"))
print(importlib.util.find_spec("shop.nothing"), importlib.util.find_spec("shop.broken").loader is not None)
try:
    shop.goods.sell()
except ValueError:
    print("raise ValueError('sold out')" in traceback.format_exc(), shop.goods.__file__ in traceback.format_exc())
import runpy
runpy.run_module("shop", run_name="__main__")
"""
    assert run(place, code).splitlines() == [
        "True", "True True shop", "True", "None True", "True True", "as a program",
    ]  # fmt: skip


def test_a_module_that_could_not_be_imported_is_in_it_and_says_why_itself(place: Path) -> None:
    code = "try: import shop.broken\nexcept ModuleNotFoundError as error: print(error.name)\n"
    assert run(place, code).split() == ["True", "a_package_that_nobody_has"]


def test_an_archive_for_something_else_is_not_used(place: Path) -> None:
    code = "import shop.goods; print(type(shop.goods.__loader__).__module__)"
    more = place / "site/another-2.0.dist-info"
    more.mkdir()
    try:
        assert run(place, code).split()[0] == "False"
    finally:
        more.rmdir()
    whole = (place / "modules.bin").read_bytes()
    try:
        for damaged in (whole.replace(sys.version.encode(), b"4" + sys.version.encode()[1:]), whole[:100], b""):
            (place / "modules.bin").write_bytes(damaged)
            assert run(place, code).split()[0] == "False"
        (place / "modules.bin").unlink()
        assert run(place, code).split()[0] == "False"
    finally:
        (place / "modules.bin").write_bytes(whole)
    assert run(place, code).split() == ["True", "apimachinery.kit.imports"]


def test_the_starter_names_the_archive_and_what_it_was_made_beside() -> None:
    text = starter.render_starter("/opt/kubelab/src").decode()
    assert "install('/opt/kubelab/src/modules.bin', '/opt/kubelab/venv/lib/python3.13/site-packages')" in text
    compile(text, "sitecustomize.py", "exec")
    assert starter.STARTER == "sitecustomize.py"
