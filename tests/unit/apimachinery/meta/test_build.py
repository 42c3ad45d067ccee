"""How components name themselves."""

from __future__ import annotations

import re

from apimachinery.meta.build import user_agent


def test_a_user_agent_reads_as_client_gos() -> None:
    assert re.fullmatch(r"kubelet/v1\.32\.\d+\+kubelab \(linux/\w+\) kubernetes/unknown", user_agent("kubelet"))
