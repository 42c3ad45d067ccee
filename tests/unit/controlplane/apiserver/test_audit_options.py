"""The flags --audit-*."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.apiserver.audit.options import AuditOptions, Batching, Delivery, parse
from controlplane.apiserver.flags import Flags


def read(*words: str) -> tuple[AuditOptions, list[str]]:
    flags = Flags(words)
    return parse(flags), list(flags.problems)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    file = tmp_path / "webhook"
    context = "contexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n"
    file.write_text(f"clusters: [{{name: a, cluster: {{server: 'https://a'}}}}]\n{context}")
    return f"--audit-webhook-config-file={file}"


def test_what_they_mean(kubeconfig: str) -> None:
    assert read() == (AuditOptions(), [])
    options, problems = read(kubeconfig, "--audit-log-path=/a", "--audit-log-maxsize=5")
    assert not problems and options.log is not None and options.webhook is not None
    assert options.log.delivery == Delivery("blocking", Batching(10_000, 1)) and options.log.max_size == 5
    assert options.webhook.delivery == Delivery("batch", Batching(10_000, 400, 30.0, 10.0, 15))
    assert (options.webhook.client.server, options.webhook.backoff) == ("https://a", 10.0)
    batch = [f"--audit-webhook-batch-{each}" for each in ("buffer-size=7", "max-size=3", "max-wait=1m")]
    more = ["--audit-webhook-batch-throttle-enable=false", "--audit-webhook-truncate-enabled", "--audit-log-mode=batch"]
    options, problems = read(
        kubeconfig, *batch, *more, "--audit-log-path=-", "--audit-webhook-batch-initial-backoff=1s"
    )
    assert not problems and options.log is not None and options.webhook is not None
    assert options.webhook.delivery == Delivery("batch", Batching(7, 3, 60.0), 102_400)
    assert (options.webhook.backoff, options.log.delivery.mode) == (1.0, "batch")
    legacy = read("--audit-log-path=-", "--audit-log-format=legacy", "--audit-log-compress")[0].log
    assert legacy is not None and legacy.legacy and legacy.compress
    told = '--audit-log-format: invalid audit log format xml, allowed formats are "legacy,json"'
    assert read("--audit-log-path=-", "--audit-log-format=xml")[1] == [told]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("mode=fast", 'invalid audit webhook mode fast, allowed modes are "batch,blocking,blocking-strict"'),
        ("version=v2", 'invalid group version, allowed versions are ["audit.k8s.io/v1"]'),
        ("batch-buffer-size=0", "invalid audit batch webhook buffer size 0, must be a positive number"),
        ("batch-max-size=0", "invalid audit batch webhook max batch size 0, must be a positive number"),
        ("batch-throttle-qps=0", "invalid audit batch webhook throttle QPS 0, must be a positive number"),
        ("batch-throttle-burst=0", "invalid audit batch webhook throttle burst 0, must be a positive number"),
        ("batch-throttle-qps=many", "'many' is not a number, or negative"),
        ("truncate-max-event-size=0", "invalid audit truncate webhook max event size 0, must be a positive number"),
        (
            "truncate-max-batch-size=9",
            "invalid audit truncate webhook max batch size 9, must be greater than max event size (102400)",
        ),
    ],
)
def test_what_is_wrong(kubeconfig: str, words: str, told: str) -> None:
    _, problems = read(kubeconfig, f"--audit-webhook-{words}")
    assert problems[0] == f"--audit-webhook-{words.partition('=')[0]}: {told}"


def test_a_kubeconfig_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("{}")
    _, problems = read(f"--audit-webhook-config-file={tmp_path}/none", "--audit-webhook-mode=fast")
    assert len(problems) == 2 and problems[1].startswith("--audit-webhook-config-file: initializing audit webhook: ")
    assert read("--audit-webhook-config-file=/none")[1] == [
        "--audit-webhook-config-file: open /none: no such file or directory"
    ]
    unused = ["--audit-webhook-mode=blocking", "--audit-webhook-batch-max-size=0", "--audit-log-mode=fast"]
    assert read(*unused)[1] == [], "nobody is sent anything"
