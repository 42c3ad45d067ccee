"""The recipes: data files under ``images/`` of the checkout."""

from __future__ import annotations

from pathlib import Path

#: ``images/`` beside the packages.
RECIPES = Path(__file__).resolve().parents[2] / "images"


def read_list(path: Path) -> list[str]:
    """The lines of a recipe file without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]
