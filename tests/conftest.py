"""What holds for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Tests are never timed: a busy machine is no defect.
settings.register_profile("kubelab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kubelab")
