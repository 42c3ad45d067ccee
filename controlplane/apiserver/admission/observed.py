"""How long admission takes, by plug-in and by step (k8s.io/apiserver/pkg/admission/metrics)."""

from __future__ import annotations

from apimachinery.kit.quick_metrics import QuickHistogram

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_STEP = ("type", "operation", "rejected")

PLUGINS = QuickHistogram(
    "apiserver_admission_controller_admission_duration_seconds",
    "[STABLE] Admission controller latency histogram in seconds, identified by name and broken out for each operation "
    "and API resource and type (validate or admit).",
    ("name", *_STEP),
    buckets=_SECONDS,
)
STEPS = QuickHistogram(
    "apiserver_admission_step_admission_duration_seconds",
    "[STABLE] Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step "
    "type (validate or admit).",
    _STEP,
    buckets=_SECONDS,
)
