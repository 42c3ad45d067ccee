"""What a component says of the Kubernetes that it was built from: /version and the metric kubernetes_build_info."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from apimachinery.kit.metrics import Gauge

_LABELS = {
    "build_date": "buildDate",
    "compiler": "compiler",
    "git_commit": "gitCommit",
    "git_tree_state": "gitTreeState",
    "git_version": "gitVersion",
    "go_version": "goVersion",
    "major": "major",
    "minor": "minor",
    "platform": "platform",
}
_BUILD = Gauge(
    "kubernetes_build_info",
    "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, "
    "build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
    list(_LABELS),
)


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


def user_agent(program: str) -> str:
    """How a component names itself to the API server (rest.DefaultKubernetesUserAgent)."""
    info = version_info()
    return f"{program}/{info['gitVersion']} ({info['platform']}) kubernetes/{info['gitCommit'][:7] or 'unknown'}"


def show_build(info: Mapping[str, str]) -> None:
    """Show what /version tells (`gitVersion`, `major`, …). What is not known is an empty label."""
    _BUILD.labels(*(info.get(key, "") for key in _LABELS.values())).set(1)
