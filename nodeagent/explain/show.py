"""A report as lines for people and as a document for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .packet import ANSWERS, KINDS, Finding, Outcome, Step
from .report import SOMETIMES, Report

_WAYS = 3  # whose steps are shown, unless all are asked for
_TITLES = {
    ANSWERS: "It answers.",
    SOMETIMES: "It answers sometimes.",
    "refused": "It is refused.",
    "dropped": "There is no answer: packets are dropped.",
    "unreachable": "There is no answer: it is not reachable.",
    "unknown": "It cannot be told.",
}
_INFORMING = frozenset(("foreign", "mtu", "proxy"))


def lines(report: Report, *, every: bool = False, commands: bool = True) -> Iterator[str]:
    """every: the steps of all ways. commands: under each step, what to type to see the same."""
    question = report.question
    yield f"{question.source} → {question.target}, port {question.port}/{question.protocol.upper()}"
    yield ""
    yield _TITLES[report.verdict]
    for outcome in report.outcomes:
        where = outcome.backend or "nowhere"
        yield f"  {outcome.probability:7.2%}  {where:<24} {outcome.verdict}: {outcome.why}{_reason(outcome)}"
    if not report.whole:
        yield "  … and more ways than were walked"
    for outcome in report.outcomes if every else _different(report.outcomes):
        yield ""
        yield f"The way to {outcome.backend or 'its end'} ({outcome.verdict}):"
        yield from _steps(outcome.steps, commands)
    for title, findings in (
        ("Not as it should be:", [one for one in report.findings if one.kind not in _INFORMING]),
        ("Worth knowing:", [one for one in report.findings if one.kind in _INFORMING]),
    ):
        if findings:
            yield ""
            yield title
            yield from _findings(findings)


def document(report: Report) -> dict[str, Any]:
    question = report.question
    return {
        "from": _target(question.source),
        "to": _target(question.target),
        "port": question.port,
        "protocol": question.protocol,
        "nodes": list(question.nodes),
        "verdict": report.verdict,
        "complete": report.whole,
        "ways": [
            {
                "probability": round(outcome.probability, 6),
                "verdict": outcome.verdict,
                "why": outcome.why,
                "backend": outcome.backend,
                "seenAs": outcome.seen_as,
                "steps": [_step(step) for step in outcome.steps],
            }
            for outcome in report.outcomes
        ],
        "findings": [
            {
                "kind": one.kind,
                "means": KINDS[one.kind],
                "host": one.host,
                "what": one.what,
                "command": one.command,
                "mend": one.mend,
            }
            for one in report.findings
        ],
    }


def _step(step: Step) -> dict[str, str]:
    return {
        "host": step.host, "what": step.what, "command": step.command, "counters": step.counters, "level": step.level,
    }  # fmt: skip


def _target(target: Any) -> dict[str, str]:
    return {"kind": target.kind, "name": target.name, "address": target.ip}


def _different(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One of each ending, the first of them: the others differ in the backend only."""
    found: dict[str, Outcome] = {}
    for outcome in outcomes:
        found.setdefault(outcome.verdict, outcome)
    return list(found.values())[:_WAYS]


def _steps(steps: Iterable[Step], commands: bool) -> Iterator[str]:
    host = ""
    for step in steps:
        if step.host != host:
            host = step.host
            yield f"  {host}"
        mark = {"ok": " ", "warn": "?", "stop": "✗"}[step.level]
        yield f"  {mark} {step.what}" + (f"  [{step.counters}]" if step.counters else "")
        if commands and step.command:
            yield f"        $ {step.command}"


def _findings(findings: Iterable[Finding]) -> Iterator[str]:
    for one in findings:
        yield f"  {one.host}: {one.what}"
        if one.command:
            yield f"        $ {one.command}"
        if one.mend:
            yield f"      mend: {one.mend}"


def _reason(outcome: Outcome) -> str:
    """Why this backend."""
    texts = [step.what for step in outcome.steps]
    if any("--rcheck" in text or "@affinity-" in text for text in texts):
        return " (session affinity)"
    if any("KUBE-SVL-" in text or " local-" in text for text in texts):
        return " (only endpoints of this node)"
    if outcome.probability < 1:
        return " (by chance)"
    return ""
