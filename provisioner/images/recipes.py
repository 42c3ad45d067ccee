"""The recipes: data files under ``images/`` of the checkout."""

from __future__ import annotations

from pathlib import Path

from provisioner.images.errors import ImageError

#: ``images/`` beside the packages.
RECIPES = Path(__file__).resolve().parents[2] / "images"


def require_recipes(folder: Path = RECIPES) -> None:
    """Raise ``ImageError`` where kubelab was installed without its checkout: images are built from that."""
    if not (folder / "guest").is_dir():
        raise ImageError(
            f"there are no recipes for images in {folder}: machines are made from a checkout; "
            "in one, run make setup and .venv/bin/kubelab"
        )


def read_list(path: Path) -> list[str]:
    """The lines of a recipe file without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]
