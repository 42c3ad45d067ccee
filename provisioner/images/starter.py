"""The archive of modules (`apimachinery.kit.imports`), made by the machines' interpreter in a chroot.

It runs `collect.py`, which imports every module of ours and notes what was loaded and generated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from apimachinery.kit.imports import MAGIC, installed
from provisioner.images.tools import run_tool
from provisioner.images.wheels import PYTHON_VERSION, VENV

#: Both in the folder of our packages. The interpreter imports the second by itself (`site`).
ARCHIVE, STARTER = "modules.bin", "sitecustomize.py"
SITE_PACKAGES = f"/{VENV}/lib/python{PYTHON_VERSION}/site-packages"
_COLLECT = Path(__file__).with_name("collect.py")
#: What makes an archive, for the cache's digests.
SOURCES = (Path(__file__), _COLLECT)


def render_starter(folder: str) -> bytes:
    """The module that a daemon's interpreter imports first: it makes the archive known."""
    text = f"from apimachinery.kit.imports import install\n\ninstall({f'{folder}/{ARCHIVE}'!r}, {SITE_PACKAGES!r})\n"
    return text.encode()


def collect(tree: Path, staging: str, folder: str, modules: Mapping[str, str]) -> bytes:
    """The archive for ``modules`` (name → file, relative).

    Their sources and bytecode are at ``staging`` inside ``tree`` and will be in ``folder`` on the machines. A module
    that cannot be imported is in it all the same.
    """
    wanted = {
        "folder": folder,
        "staging": staging,
        "site_packages": SITE_PACKAGES,
        "beside": installed(f"{tree}{SITE_PACKAGES}"),
        "modules": dict(modules),
    }
    interpreter = f"/{VENV}/bin/python"
    return MAGIC + run_tool(
        "chroot", tree, interpreter, "-B", "-S", "-c", _COLLECT.read_text(), input=json.dumps(wanted).encode()
    )
