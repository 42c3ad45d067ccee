"""Loading a daemon: what is imported is never looked through for garbage. Making much that stays: not meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from apimachinery.kit.collector import paused

# In a process of its own: the collector's state is the process's.
_CODE = """
import gc
from apimachinery.kit.collector import loading
before = gc.get_threshold()
try:
    with loading():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
        {inside}
except ZeroDivisionError:
    pass
assert gc.isenabled()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
assert gc.get_threshold()[0] > before[0]
print("ok")
"""


def _run(inside: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _CODE.replace("{inside}", inside)], capture_output=True, text=True, check=True
    ).stdout


def test_nothing_is_collected_while_loading_and_little_after() -> None:
    assert _run("pass") == "ok\n"


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    assert _run("1 / 0") == "ok\n"


def test_paused_collects_nothing_and_is_over_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), paused():
        assert not gc.isenabled()
        with paused():
            pass
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()
