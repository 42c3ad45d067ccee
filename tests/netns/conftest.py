"""What holds for every test of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

# Seconds for a whole test: waits in it have deadlines of their own, which say what did not come.
_TIMEOUT = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT))
