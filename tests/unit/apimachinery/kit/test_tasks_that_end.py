"""Tasks that are cancelled because one of them failed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from apimachinery.kit.tasks import Fatal, run_until


async def _fails() -> None:
    raise Fatal("leaderelection lost")


async def _ends_badly() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise OSError("no space")


async def test_what_is_raised_is_told_once_and_what_is_not_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(Fatal, match="leaderelection lost"):
        await run_until(asyncio.Event(), (_ends_badly(), _fails()))
    assert caplog.messages == ["a task ended badly while being cancelled: OSError('no space')"]
