"""A node that is not to change its kernel's settings (protectKernelDefaults)."""

from __future__ import annotations

from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.kubelet.config import load
from nodeagent.kubelet.node import tunables
from nodeagent.kubelet.wire import build

GOOD = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        (
            {"vm/overcommit_memory": 0, "kernel/panic": -1},
            [
                "invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0",
                "invalid kernel flag: kernel/panic, expected value: 10, actual value: -1",
            ],
        ),
        ({"kernel/keys/root_maxkeys": None}, ["open {root}/kernel/keys/root_maxkeys: no such file or directory"]),
    ],
)
def test_what_differs_is_told(tmp_path: Path, changed: dict[str, int | None], told: list[str]) -> None:
    for name, value in (GOOD | changed).items():
        if value is not None:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")
    assert tunables.unexpected(tmp_path) == [each.format(root=tmp_path) for each in told]


async def test_an_agent_that_protects_them_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunables, "unexpected", lambda: ["invalid kernel flag: x"])
    with pytest.raises(ConfigError, match="Failed to start ContainerManager: invalid kernel flag: x"):
        await build(load(["--protect-kernel-defaults"]))
