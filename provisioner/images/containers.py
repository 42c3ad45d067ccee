"""The container images of a lab, from ``images/oci/*/image.toml``, as OCI archives that share their layers."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.images import cache, layers, oci, wheels
from provisioner.images.errors import ImageError
from provisioner.images.recipes import RECIPES

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEYS = {"name", "layers", "entrypoint", "cmd", "env", "user", "workdir", "ports", "stop_signal"}


@dataclass(frozen=True)
class OciImage:
    """An image as an OCI archive. ``name`` is the full reference; ``digest`` is its manifest's (``sha256:…``)."""

    name: str
    archive: Path
    digest: str


def ensure_oci_images(home: Path, report: Callable[[str], None]) -> dict[str, OciImage]:
    """Every container image of the checkout by its folder's name (``nginx``), built where not cached. Blocks; seconds
    to minutes the first time. Raises ``ImageError``."""
    images = {}
    for recipe in sorted((RECIPES / "oci").glob("*/image.toml")):
        images[recipe.parent.name] = ensure_oci_image(home, recipe, report)
    return images


def read_recipe(path: Path) -> dict[str, Any]:
    """An image.toml, checked. Raises ``ImageError`` naming the file and the key."""
    try:
        recipe = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as e:
        raise ImageError(f"{path}: {e}") from e
    if unknown := sorted(recipe.keys() - _KEYS):
        raise ImageError(f"{path}: unknown key {unknown[0]!r} (known: {', '.join(sorted(_KEYS))})")
    if missing := sorted({"name", "layers"} - recipe.keys()):
        raise ImageError(f"{path}: {missing[0]!r} is missing")
    return recipe


def ensure_oci_image(home: Path, path: Path, report: Callable[[str], None]) -> OciImage:
    """The image of one recipe (the path of its image.toml), built where not cached. Raises ``ImageError``."""
    recipe = read_recipe(path)
    chain = layers.ensure_chain(home, recipe["layers"], report)
    here = Path(__file__).parent
    digest = cache.digest_of(
        [
            ("recipe", path.read_bytes()),
            ("layers", " ".join(folder.name for folder in chain)),
            *cache.source_parts(here / "containers.py", here / "oci.py"),
        ]
    )

    def build(target: Path) -> None:
        report(f"container images: {recipe['name']}")
        built = [layers.load_layer(folder) for folder in chain]
        path_of_venv = f"/{wheels.VENV}/bin:" if "venv" in recipe["layers"] else ""
        config = oci.make_config(
            oci.ImageConfig(
                entrypoint=recipe.get("entrypoint", ()),
                cmd=recipe.get("cmd", ()),
                env={"PATH": path_of_venv + _PATH, **recipe.get("env", {})},
                user=recipe.get("user", ""),
                workdir=recipe.get("workdir", "/"),
                ports=recipe.get("ports", ()),
                stop_signal=recipe.get("stop_signal", ""),
            ),
            built,
        )
        manifest = oci.make_manifest(config, built)
        (target / "image.tar").write_bytes(
            oci.render_archive(recipe["name"], manifest, [config, *(b.blob for b in built)])
        )
        (target / "image.json").write_text(json.dumps({"name": recipe["name"], "digest": manifest.digest}) + "\n")

    folder = cache.ensure(home, "oci", digest, build)
    meta = json.loads((folder / "image.json").read_text())
    return OciImage(meta["name"], folder / "image.tar", meta["digest"])
