"""The machines' virtual environment: the locked wheels for the guest's interpreter, fetched with the host's pip."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

from provisioner.images.tools import run_tool

#: Relative to a machine's or a container's root.
VENV = Path("opt/kubelab/venv")

#: The interpreter in the machines and containers (Debian 13's).
PYTHON_VERSION = "3.13"

#: Files of wheels that no running program reads.
_SUPERFLUOUS = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h", "*.proto", "tests", "test")


def pip_target_options() -> list[str]:
    """pip's options for the guest's interpreter: glibc 2.41, so every manylinux tag up to that."""
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (41, 39, 36, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)]
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON_VERSION}"]
    return options + [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{machine}", f"manylinux1_{machine}")]


def install_wheels(venv: Path, lock: Path) -> None:
    """Make ``venv`` a virtual environment (PEP 405) with exactly the wheels of ``lock``; without pip, without scripts.

    Raises ``ImageError`` when the index does not answer or a wheel's hash differs.
    """
    site = venv / f"lib/python{PYTHON_VERSION}/site-packages"
    run_tool(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--require-hashes",
        "--disable-pip-version-check", "--root-user-action=ignore", "--target", site, *pip_target_options(), "-r", lock,
    )  # fmt: skip
    shutil.rmtree(site / "bin", ignore_errors=True)
    for pattern in _SUPERFLUOUS:
        for path in sorted(site.rglob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    # pip notes the building machine's paths there; nothing in the machines reads them.
    for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        for path in site.glob(f"*.dist-info/{name}"):
            path.unlink()
    # Some wheels carry debug symbols worth half their size; what the dynamic loader reads stays.
    run_tool("strip", "--strip-debug", *sorted(site.rglob("*.so")))
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to(f"/usr/bin/python{PYTHON_VERSION}")
    (venv / "bin/python").symlink_to("python3")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")


def compile_in(tree: Path, *folders: str) -> None:
    """Byte-compile ``folders`` (absolute inside ``tree``) with the tree's own interpreter, in a chroot.

    unchecked-hash (PEP 552): no ``stat`` of the source at import, and equal sources give equal bytes whatever their
    times. Without bytecode the first import of the dependencies takes an emulated guest about a minute. -B and -f:
    compileall must not believe the bytecode that its own imports would write, which is bound to times.
    """
    interpreter = f"/usr/bin/python{PYTHON_VERSION}"
    command = [
        "-B",
        "-I",
        "-S",
        "-m",
        "compileall",
        "-f",
        "-q",
        "-j",
        "2",
        "--invalidation-mode",
        "unchecked-hash",
        *folders,
    ]
    run_tool("chroot", tree, interpreter, *command)


def check_libraries(tree: Path, folder: str) -> None:
    """Load every extension module below ``folder`` (absolute inside ``tree``) in a chroot.

    Raises ``ImageError`` naming a shared library that the tree lacks: better now than in a lab.
    """
    code = (
        "import ctypes, os, pathlib, sys\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).rglob('*.so')):\n"
        "    ctypes.CDLL(str(path), mode=os.RTLD_LAZY)\n"
    )
    run_tool("chroot", tree, f"/usr/bin/python{PYTHON_VERSION}", "-I", "-S", "-c", code, folder)
