"""KubeSchedulerConfiguration files, written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from apimachinery.kit.config import Problems
from controlplane.scheduler.config_file import API_VERSION, KIND, FileConfig, read_file
from controlplane.scheduler.profiles import Profile


def read(tmp_path: Path, **document: Any) -> FileConfig:
    path, problems = tmp_path / "scheduler.yaml", Problems()
    path.write_text(yaml.safe_dump({"apiVersion": API_VERSION, "kind": KIND, **document}))
    found = read_file(path, problems)
    problems.raise_if_any()
    return found


def profile(tmp_path: Path, **said: Any) -> Profile:
    return read(tmp_path, profiles=[said]).profiles[0]


def arguments(tmp_path: Path, name: str, **args: Any) -> Profile:
    return profile(tmp_path, pluginConfig=[{"name": name, "args": args}])
