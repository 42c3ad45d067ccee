"""Writes the plugins' executables: `python -m nodeagent.cni.install DIR [--python PATH] [--src PATH]`.

Each is a few lines that name an interpreter and the code; they are written again only when they differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apimachinery.kit.files import write_atomic

# Executable's name → module with PLUGIN. host-local and portmap keep the reference's names, which configurations use.
PLUGINS = {
    "kubelab-bridge": "bridge",
    "host-local": "host_local",
    "loopback": "loopback",
    "portmap": "portmap",
}
_SHEBANG_MAX = 255  # BINPRM_BUF_SIZE less the NUL (Linux 5.1); a longer one is cut silently
_LAUNCHER = """\
#!{python} -IS
import sys

sys.path.insert(0, {source!r})
from nodeagent.cni import main
from nodeagent.cni.{module} import PLUGIN

main.run(PLUGIN)
"""


def render_launcher(module: str, python: Path, source: Path) -> str:
    """-I: nobody's environment or directory changes what runs. -S: site-packages is not needed, and costs time."""
    return _LAUNCHER.format(python=python, source=str(source), module=module)


def install(directory: Path, python: Path, source: Path) -> list[Path]:
    """Write the launchers that are not as they should be; returns their paths. Raises ValueError for a bad path."""
    if len(f"#!{python} -IS") > _SHEBANG_MAX or any(letter.isspace() for letter in str(python)):
        raise ValueError(f"{python}: a path that the kernel cannot start scripts with (too long, or has spaces)")
    directory.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, module in PLUGINS.items():
        path = directory / name
        if write_atomic(path, render_launcher(module, python, source), 0o755):
            changed.append(path)
    return changed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nodeagent.cni.install", description="Install the CNI plugins.")
    parser.add_argument("directory", type=Path, help="where the container runtime looks for plugins (/opt/cni/bin)")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter to start them with")
    source = Path(__file__).resolve().parents[2]
    parser.add_argument("--src", type=Path, default=source, help="the directory that holds the package nodeagent")
    options = parser.parse_args(argv)
    # A virtual environment's interpreter looks for its home at every start; the one it stands for does not.
    python = Path(options.python).resolve()
    try:
        for path in install(options.directory, python, options.src.resolve()):
            print(path)
    except (OSError, ValueError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
