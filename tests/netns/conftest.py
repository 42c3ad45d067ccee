"""Side by side (pytest -n) run the files; those of one lab, or one machine, take turns."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = ("lab", "streams")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(root):
            folder = item.path.relative_to(root).parts[0]
            item.add_marker(pytest.mark.xdist_group(folder if folder in _SHARED else item.path.stem))
