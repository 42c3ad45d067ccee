"""/version."""

from __future__ import annotations

import platform
from typing import Any

GIT_VERSION = "v1.32.0+kubelab"


def version_info() -> dict[str, Any]:
    """version.Info: the Kubernetes whose behaviour is served; the platform in Go's words."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": "1",
        "minor": "32",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{machine}",
    }
