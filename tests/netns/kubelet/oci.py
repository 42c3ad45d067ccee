"""Tiny OCI archives for tests: a static pause and busybox, made from what the machine has (gcc, busybox-static)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

PAUSE = "registry.k8s.io/pause:3.10"
BUSYBOX = "docker.io/library/busybox:latest"

_PAUSE_C = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void down(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) { signal(SIGINT, down); signal(SIGTERM, down); signal(SIGCHLD, reap); for (;;) pause(); }
"""


def build_pause(directory: Path) -> Path:
    """Compile pause and pack it; returns the archive."""
    source, binary = directory / "pause.c", directory / "pause"
    source.write_text(_PAUSE_C)
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", binary, source], check=True)
    return _archive(directory / "pause.tar", PAUSE, {"pause": binary.read_bytes()}, {}, ["/pause"])


def build_busybox(directory: Path, users: str = "", members: str = "") -> Path:
    """Pack the machine's static busybox with a link per applet. users, members: more of /etc/passwd and /etc/group."""
    binary = Path("/bin/busybox")
    applets = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True).stdout.split()
    links = {f"bin/{applet}": "/bin/busybox" for applet in applets if applet != "busybox"}
    files = {
        "bin/busybox": binary.read_bytes(),
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n" + users.encode(),
        "etc/group": b"root:x:0:\nnobody:x:65534:\n" + members.encode(),
    }
    return _archive(directory / "busybox.tar", BUSYBOX, files, links, None, ["sh"])


def build_ballast(directory: Path, name: str, size: int) -> Path:
    """An image that nobody needs, of `size` bytes."""
    return _archive(directory / "ballast.tar", name, {"ballast": os.urandom(size)}, {}, ["/ballast"])


def _archive(
    path: Path,
    name: str,
    files: dict[str, bytes],
    links: dict[str, str],
    entrypoint: list[str] | None,
    cmd: list[str] | None = None,
) -> Path:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ("tmp", "root", "etc", "bin", "var"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        for file, data in files.items():
            info = tarfile.TarInfo(file)
            info.size, info.mode = len(data), 0o644 if file.startswith("etc/") else 0o755
            tar.addfile(info, io.BytesIO(data))
        for link, target in links.items():
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    blobs: dict[str, bytes] = {}

    def put(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    layer_blob = put(layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    process = {"Env": ["PATH=/bin"], "Entrypoint": entrypoint, "Cmd": cmd}
    config = put(
        json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {key: value for key, value in process.items() if value},
                "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]},
            }
        ).encode(),
        "application/vnd.oci.image.config.v1+json",
    )
    manifest = put(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config,
                "layers": [layer_blob],
            }
        ).encode(),
        "application/vnd.oci.image.manifest.v1+json",
    )
    manifest["annotations"] = {"io.containerd.image.name": name}
    with tarfile.open(path, "w") as tar:
        members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
        members |= {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
