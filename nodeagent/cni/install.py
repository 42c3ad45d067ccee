"""Writes the plugins' executables: `python -m nodeagent.cni.install DIR [--python PATH] [--src PATH]`.

Each is a few lines that name an interpreter and the code. The interpreter is `DIR/kubelab-cni`, which asks the agent
and is compiled here where there is a C compiler; Python where there is none. What is as it should be stays untouched.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from apimachinery.kit.files import write_atomic

# Executable's name → module with PLUGIN. Those after the first keep the reference's names, which configurations use.
PLUGINS = {
    "kubelab-bridge": "bridge",
    "host-local": "host_local",
    "loopback": "loopback",
    "portmap": "portmap",
    "bandwidth": "bandwidth",
}
_SHEBANG_MAX = 255  # BINPRM_BUF_SIZE less the NUL (Linux 5.1); a longer one is cut silently
CLIENT = "kubelab-cni"
_SOURCE = Path(__file__).with_name("kubelab-cni.c")
# Reproducible: the same bytes wherever the sources lie.
_COMPILE = ("-static", "-O2", "-s", "-Wl,--build-id=none", f"-ffile-prefix-map={_SOURCE.parent}=.")
_LAUNCHER = """\
#!{interpreter}
import sys

sys.path.insert(0, {source!r})
from nodeagent.cni import main
from nodeagent.cni.{module} import PLUGIN

main.run(PLUGIN)
"""


def render_launcher(module: str, interpreter: str, source: Path) -> str:
    return _LAUNCHER.format(interpreter=interpreter, source=str(source), module=module)


def compile_client() -> bytes | None:
    """The executable for this kind of machine; None without a C compiler. Raises OSError with the compiler's words."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, CLIENT)
        done = subprocess.run([compiler, *_COMPILE, "-o", target, _SOURCE], capture_output=True)
        if done.returncode != 0:
            raise OSError(f"{compiler}: {done.stderr.decode(errors='replace').strip()}")
        return target.read_bytes()


def install(directory: Path, python: Path, source: Path, client: bytes | None = None) -> list[Path]:
    """Write what is not as it should be; returns the paths. Raises ValueError for a bad path.

    client: the compiled kubelab-cni; None: every call starts an interpreter.
    """
    # -I: nobody's environment or directory changes what runs. -S: site-packages is not needed, and costs time.
    interpreter = f"{python} -IS" if client is None else f"{directory / CLIENT} {python}"
    if len(f"#!{interpreter}") > _SHEBANG_MAX or len(interpreter.split()) != 2:
        raise ValueError(f"{interpreter}: the kernel cannot start scripts with it (too long, or with more spaces)")
    directory.mkdir(parents=True, exist_ok=True)
    changed = []
    if client is not None and write_atomic(directory / CLIENT, client, 0o755):
        changed.append(directory / CLIENT)
    for name, module in PLUGINS.items():
        path = directory / name
        if write_atomic(path, render_launcher(module, interpreter, source), 0o755):
            changed.append(path)
    return changed


def _client() -> bytes | None:
    try:
        client, why = compile_client(), "no C compiler"
    except OSError as error:
        client, why = None, str(error)
    if client is None:
        print(f"install: every call will start an interpreter: {why}", file=sys.stderr)
    return client


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
        for path in install(options.directory.resolve(), python, options.src.resolve(), _client()):
            print(path)
    except (OSError, ValueError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
