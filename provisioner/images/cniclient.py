"""The compiled executable in front of the CNI plugins (``nodeagent/cni/kubelab-cni.c``); machines have no compiler."""

from __future__ import annotations

from pathlib import Path

from provisioner.images import cache
from provisioner.images.tools import missing_tools, run_tool

#: Reproducible: the same bytes wherever the checkout lies.
_FLAGS = ("-static", "-O2", "-s", "-Wl,--build-id=none")


def ensure_cni_client(home: Path, src_root: Path) -> bytes | None:
    """The executable, from the cache or compiled now; ``None`` where this host has no C compiler, and the plugins start
    an interpreter for every call. Raises ``ImageError`` when it does not compile."""
    source = src_root / "nodeagent" / "cni" / "kubelab-cni.c"
    digest = cache.digest_of([("source", source.read_bytes()), *cache.source_parts(Path(__file__))])
    path = home / "images" / "cni" / digest / "kubelab-cni"
    if not path.exists():
        if missing_tools(["gcc"]):
            return None

        def build(target: Path) -> None:
            prefix = f"-ffile-prefix-map={source.parent}=."
            run_tool("gcc", *_FLAGS, prefix, "-o", target / path.name, source)

        cache.ensure(home, "cni", digest, build)
    return path.read_bytes()
