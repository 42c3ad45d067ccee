"""What a component says of the Kubernetes that it was built from: the metric kubernetes_build_info."""

from __future__ import annotations

from collections.abc import Mapping

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


def show_build(info: Mapping[str, str]) -> None:
    """Show what /version tells (`gitVersion`, `major`, …). What is not known is an empty label."""
    _BUILD.labels(*(info.get(key, "") for key in _LABELS.values())).set(1)
