"""What a KubeletConfiguration keeps free: thresholds of eviction and reservations (pkg/kubelet/eviction/helpers.go)."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.meta import quantity
from apimachinery.meta.times import parse_duration

from .config_file import Document
from .eviction.thresholds import SIGNALS


def check_eviction(document: Document, wrong: Callable[[str], None]) -> None:
    """Call `wrong` with everything that is wrong with thresholds and reservations."""
    for field in ("evictionHard", "evictionSoft", "evictionMinimumReclaim"):
        for signal, amount in (document.get(field) or {}).items():
            if signal not in SIGNALS:
                wrong(f"{field}: unsupported eviction signal {signal}")
            elif problem := _threshold_problem(signal, amount, reclaim=field == "evictionMinimumReclaim"):
                wrong(f"{field}: {problem}")
    grace = document.get("evictionSoftGracePeriod") or {}
    for signal in document.get("evictionSoft") or {}:
        if signal not in grace:
            wrong(f"grace period must be specified for the soft eviction threshold {signal}")
    for signal, period in grace.items():
        try:
            negative = parse_duration(period) < 0
        except ValueError as error:
            wrong(f"evictionSoftGracePeriod: {signal}: {error}")
            continue
        if signal not in SIGNALS:
            wrong(f"evictionSoftGracePeriod: unsupported eviction signal {signal}")
        if negative:
            wrong(f"invalid eviction grace period specified: {period} for signal {signal}, must be a positive value")
    for field in ("systemReserved", "kubeReserved"):
        for key, amount in (document.get(field) or {}).items():
            if key not in ("cpu", "memory", "ephemeral-storage", "pid"):
                wrong(f'{field}: cannot reserve "{key}" resource')
            elif not quantity.is_quantity(amount):
                wrong(f'{field}: failed to parse quantity "{amount}" for "{key}" resource')
            elif amount.startswith("-"):
                wrong(f'{field}: resource quantity for "{key}" cannot be negative: {amount}')


def _threshold_problem(signal: str, text: str, *, reclaim: bool) -> str | None:
    """What is wrong with a threshold, or with what is to be reclaimed beyond one."""
    if not text.endswith("%"):
        if not quantity.is_quantity(text):
            return f"invalid eviction threshold {text} for {signal}"
        amount = quantity.parse(text).value
        if reclaim:
            return f"negative eviction minimum reclaim specified for {signal}" if amount < 0 else None
        return f"eviction threshold {signal} must be positive: {text}" if amount <= 0 else None
    try:
        share = float(text[:-1])
    except ValueError:
        return f"invalid eviction threshold {text} for {signal}"
    if reclaim:
        return f"eviction percentage minimum reclaim {signal} must be positive: {text}" if share <= 0 else None
    if share < 0:
        return f"eviction percentage threshold {signal} must be >= 0%: {text}"
    return f"eviction percentage threshold {signal} must be <= 100%: {text}" if share > 100 else None
