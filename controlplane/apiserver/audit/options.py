"""The flags --audit-*: what is written about requests, where, how (k8s.io/apiserver's pkg/server/options/audit.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from apimachinery.kit.config import ConfigError
from controlplane.apiserver.flags import Flags

if TYPE_CHECKING:
    from apimachinery.client.config import ClientConfig
    from controlplane.apiserver.audit.policy import Policy

BATCH, BLOCKING, STRICT = MODES = ("batch", "blocking", "blocking-strict")
_FORMATS = ("legacy", "json")
_VERSION = "audit.k8s.io/v1"
_MOST = 2**31 - 1


class Batching(Struct, frozen=True):
    """How events are gathered. buffer: that may wait; size: that go together; wait: seconds after which fewer do; qps:
    groups a second (0: any number), burst: of them at once."""

    buffer: int = 10_000
    size: int = 1
    wait: float = 0.0
    qps: float = 0.0
    burst: int = 0


class Delivery(Struct, frozen=True):
    """mode: batch, blocking or blocking-strict. limit: bytes beyond which an event loses its objects (None: none)."""

    mode: str
    batching: Batching = Batching()
    limit: int | None = None


class LogOptions(Struct, frozen=True):
    """The log file. path: "-" is the standard output; max_age: days; max_size: megabytes; legacy: lines for people
    instead of JSON."""

    path: str
    delivery: Delivery
    max_age: int = 0
    max_backups: int = 0
    max_size: int = 100
    compress: bool = False
    legacy: bool = False


class WebhookOptions(Struct, frozen=True):
    """Who is sent events. backoff: seconds before the second attempt."""

    client: ClientConfig
    delivery: Delivery
    backoff: float = 10.0


class AuditOptions(Struct, frozen=True):
    """Nothing is written without a policy."""

    policy: Policy | None = None
    log: LogOptions | None = None
    webhook: WebhookOptions | None = None


def parse(flags: Flags) -> AuditOptions:
    """What the command line says. Problems are told, not raised."""
    return AuditOptions(_policy(flags), _log(flags), _webhook(flags))


def _policy(flags: Flags) -> Policy | None:
    path = flags.file("audit-policy-file")
    if path is None or not path.is_file():
        return None
    from controlplane.apiserver.audit.policy import load  # which few servers need

    try:
        return load(path)
    except (ValueError, OSError) as error:
        flags.problems.add("--audit-policy-file", f"loading audit policy file: {error}")
        return None


def _log(flags: Flags) -> LogOptions | None:
    path, form = flags.text("audit-log-path"), flags.text("audit-log-format")
    if not path:
        return None
    if form not in _FORMATS:
        told = f'invalid audit log format {form}, allowed formats are "{",".join(_FORMATS)}"'
        flags.problems.add("--audit-log-format", told)
    return LogOptions(
        path,
        _delivery(flags, "log"),
        flags.number("audit-log-maxage", 0, 100_000),
        flags.number("audit-log-maxbackup", 0, 100_000),
        flags.number("audit-log-maxsize", 0, 1_000_000) or 100,
        flags.is_on("audit-log-compress"),
        form == "legacy",
    )


def _webhook(flags: Flags) -> WebhookOptions | None:
    file, old = flags.file("audit-webhook-config-file"), "audit-webhook-batch-initial-backoff"
    backoff = flags.duration(old if flags.was_given(old) else "audit-webhook-initial-backoff")
    if file is None:
        return None
    delivery = _delivery(flags, "webhook")
    if not file.is_file():
        return None
    from apimachinery.client.config import load_kubeconfig

    try:
        return WebhookOptions(load_kubeconfig(file), delivery, backoff)
    except ConfigError as error:
        for problem in error.problems:
            flags.problems.add("--audit-webhook-config-file", f"initializing audit webhook: {problem}")
        return None


def _delivery(flags: Flags, plugin: str) -> Delivery:
    problems, prefix = flags.problems, f"audit-{plugin}"
    mode, version = flags.text(f"{prefix}-mode"), flags.text(f"{prefix}-version")
    if mode not in MODES:
        told = f'invalid audit {plugin} mode {mode}, allowed modes are "{",".join(MODES)}"'
        problems.add(f"--{prefix}-mode", told)
    if version != _VERSION:
        problems.add(f"--{prefix}-version", f'invalid group version, allowed versions are ["{_VERSION}"]')
    batching = Batching(
        flags.number(f"{prefix}-batch-buffer-size", 0, _MOST),
        flags.number(f"{prefix}-batch-max-size", 0, _MOST),
        flags.duration(f"{prefix}-batch-max-wait"),
        flags.decimal(f"{prefix}-batch-throttle-qps"),
        flags.number(f"{prefix}-batch-throttle-burst", 0, _MOST),
    )
    throttled = flags.is_on(f"{prefix}-batch-throttle-enable")
    if mode == BATCH:
        counted: list[tuple[str, str, float]] = [
            ("buffer-size", "buffer size", batching.buffer),
            ("max-size", "max batch size", batching.size),
        ]
        if throttled:
            counted += [("throttle-qps", "throttle QPS", batching.qps)]
            counted += [("throttle-burst", "throttle burst", batching.burst)]
        for flag, words, number in counted:
            if number <= 0:
                told = f"invalid audit batch {plugin} {words} {number:g}, must be a positive number"
                problems.add(f"--{prefix}-batch-{flag}", told)
    if not throttled:
        batching = Batching(batching.buffer, batching.size, batching.wait)
    return Delivery(mode, batching, _limit(flags, plugin))


def _limit(flags: Flags, plugin: str) -> int | None:
    prefix = f"audit-{plugin}-truncate"
    # Events come one at a time, which no limit of a batch can split: it is only checked.
    event, batch = (flags.number(f"{prefix}-max-{each}-size", 0, 2**63 - 1) for each in ("event", "batch"))
    if event <= 0:
        told = f"invalid audit truncate {plugin} max event size {event}, must be a positive number"
        flags.problems.add(f"--{prefix}-max-event-size", told)
    elif batch < event:
        told = f"invalid audit truncate {plugin} max batch size {batch}, must be greater than max event size ({event})"
        flags.problems.add(f"--{prefix}-max-batch-size", told)
    return event if flags.is_on(f"{prefix}-enabled") else None
