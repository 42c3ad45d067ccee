"""The container images of netns machines: one containerd store, imported once, hard-linked into every machine."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from provisioner.drivers.base import Report
from provisioner.errors import LabError
from provisioner.images import OciImage, cache
from provisioner.images.registry import fill_storage
from provisioner.rendering import render

_CONTENT = Path("var/lib/containerd/io.containerd.content.v1.content")
_START_DEADLINE = 30.0


def ensure_store(home: Path, images: Mapping[str, OciImage], report: Report) -> Path:
    """A folder with ``var/lib/containerd`` (images imported and unpacked) and ``var/lib/docker-registry``. Cached."""
    parts = [(name, image.digest) for name, image in sorted(images.items())]
    digest = cache.digest_of([*parts, *cache.source_parts(Path(__file__))])

    def build(target: Path) -> None:
        report("importing the container images")
        _import(target, images)
        # The registry's files belong to a user that this host may not have; here it runs as root.
        (target / "etc").mkdir()
        (target / "etc/passwd").write_text(f"docker-registry:x:{os.getuid()}:{os.getgid()}::/:/bin/false\n")
        fill_storage(target, images, target / _CONTENT)

    return cache.ensure(home, "netns-store", digest, build)


def copy_store(store: Path, root: Path) -> None:
    """Put a store into a machine's ``root``: contents by hard link (nothing writes into them), databases copied.

    Raises ``OSError`` for the first file that cannot be made, unlike ``shutil.copytree``, which goes on to the last.
    """
    for name in ("containerd", "docker-registry"):
        _copy(store / "var/lib" / name, root / "var/lib" / name)


def _copy(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copystat(folder, target)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _copy(Path(entry.path), target / entry.name)
            else:
                _place(entry.path, target / entry.name)


def _place(source: str, target: Path) -> None:
    if not source.endswith(".db"):
        try:
            os.link(source, target, follow_symlinks=False)
            return
        except OSError as error:
            # The images are on another disk than the lab.
            if error.errno != errno.EXDEV:
                raise
    shutil.copy2(source, target, follow_symlinks=False)


def _import(target: Path, images: Mapping[str, OciImage]) -> None:
    root, run = target / "var/lib/containerd", target / "run"
    root.mkdir(parents=True)
    run.mkdir()
    socket = Path("/run") / f"kubelab-import-{os.getpid()}.sock"
    config = run / "config.toml"
    config.write_text(render("netns-import.toml.j2", root=root, state=run / "state", socket=socket, opt=run / "opt"))
    with (run / "containerd.log").open("wb") as log:
        daemon = subprocess.Popen(["containerd", "--config", config], stdout=log, stderr=log, start_new_session=True)
    ctr = ["ctr", "--address", str(socket), "--namespace", "k8s.io"]
    try:
        deadline = time.monotonic() + _START_DEADLINE
        while _quiet([*ctr, "version"]) != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                words = (run / "containerd.log").read_text(errors="replace").splitlines()[-5:]
                raise LabError("containerd does not start: " + " / ".join(words), advice="kubelab doctor")
            time.sleep(0.1)
        for image in images.values():
            _run([*ctr, "images", "import", "--snapshotter", "overlayfs", str(image.archive)])
            _run([*ctr, "images", "label", image.name, "io.cri-containerd.image=managed"])
            if "/pause:" in image.name:
                _run([*ctr, "images", "label", image.name, "io.cri-containerd.pinned=pinned"])
    finally:
        daemon.terminate()
        daemon.wait(timeout=30)
        for path in (socket, Path(f"{socket}.ttrpc")):
            path.unlink(missing_ok=True)
    shutil.rmtree(run)


def _quiet(argv: list[str]) -> int:
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace').strip()[-1000:]}")
