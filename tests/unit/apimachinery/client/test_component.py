"""What every elected component is told by flags."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from apimachinery.client import component
from apimachinery.client.component import flag_parser, read_flags
from apimachinery.client.config import load_in_cluster
from apimachinery.kit.config import Problems


def test_without_a_kubeconfig_a_component_is_its_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a second scheduler in a Deployment is run."""
    (tmp_path / "ca.crt").write_bytes(b"authority")
    (tmp_path / "namespace").write_text("kube-system")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(component, "load_in_cluster", partial(load_in_cluster, tmp_path))
    problems = Problems()
    client = read_flags(flag_parser("kube-scheduler", "", 1).read([]), problems)["client"]
    assert not problems and (client.server, client.ca_data) == ("https://10.96.0.1:443", b"authority")
    assert client.token_file == tmp_path / "token"
    told = "Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.  This might not work."
    assert caplog.messages == [told]


def test_outside_of_a_pod_a_kubeconfig_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    problems = Problems()
    read_flags(flag_parser("kube-scheduler", "", 1).read([]), problems)
    told = "no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
    assert list(problems) == [f"invalid configuration: {told}"]
