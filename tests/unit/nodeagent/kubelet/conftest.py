"""A message bus, for what talks to systemd and logind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A message bus of our own in the place of the system's."""
    config = tmp_path / "bus.conf"
    path = tmp_path / "bus"
    config.write_text(
        "<busconfig><type>system</type>"
        f"<listen>unix:path={path}</listen>"
        '<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>'
        "</busconfig>"
    )
    bus = subprocess.Popen(
        ["dbus-daemon", "--nofork", "--print-address", f"--config-file={config}"], stdout=subprocess.PIPE
    )
    try:
        assert bus.stdout is not None and bus.stdout.readline()
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        yield f"unix:path={path}"
    finally:
        bus.kill()
        bus.wait()
