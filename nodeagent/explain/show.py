"""A report as lines for people and as a document for programs. Pure."""

from __future__ import annotations

import textwrap
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
_MARKS = {"ok": " ", "warn": "?", "stop": "✗"}
_NARROWEST = 40  # columns; on less, lines are wrapped by the terminal
_INFORMING = frozenset(("foreign", "mtu", "proxy", "unread"))


def lines(report: Report, *, every: bool = False, commands: bool = True, width: int = 0) -> Iterator[str]:
    """every: the steps of all ways. commands: under each step, what to type to see the same. width: columns of the
    terminal, 0 for lines as long as they are; what is to be typed is never broken."""
    for text, hanging in _lines(report, every, commands):
        if width and len(text) > width and not text.lstrip().startswith("$ "):
            yield from textwrap.wrap(
                text, max(width, _NARROWEST), subsequent_indent=" " * hanging, break_on_hyphens=False,
                break_long_words=False,
            )  # fmt: skip
        else:
            yield text


def _lines(report: Report, every: bool, commands: bool) -> Iterator[tuple[str, int]]:
    """Each with the indent of what does not fit into its first line."""
    question = report.question
    yield f"{question.source} → {question.target}, port {question.port}/{question.protocol.upper()}", 2
    yield "", 0
    yield _TITLES[report.verdict], 2
    single = len(report.outcomes) == 1
    for outcome in report.outcomes:
        chance = "" if single else f"{outcome.probability:7.2%}  "
        where = outcome.backend or "nowhere"
        why = outcome.why.removeprefix(f"{outcome.verdict} ")
        head = f"  {chance}{where:<24} "
        yield f"{head}{outcome.verdict}: {why}{_reason(outcome)}", 4
    if not report.whole:
        yield "  … and more ways than were walked", 4
    for outcome in report.outcomes if every else _different(report.outcomes):
        yield "", 0
        yield f"The way to {outcome.backend or 'its end'} ({outcome.verdict}):", 2
        yield from _steps(outcome.steps, commands)
    for title, findings in (
        ("Not as it should be:", [one for one in report.findings if one.kind not in _INFORMING]),
        ("Worth knowing:", [one for one in report.findings if one.kind in _INFORMING]),
    ):
        if findings:
            yield "", 0
            yield title, 2
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


def _step(step: Step) -> dict[str, str | int]:
    return {
        "host": step.host, "what": step.what, "command": step.command, "counters": step.counters, "level": step.level,
        "depth": step.depth,
    }  # fmt: skip


def _target(target: Any) -> dict[str, str]:
    return {"kind": target.kind, "name": target.name, "address": target.ip}


def _different(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One of each ending, the first of them: the others differ in the backend only."""
    found: dict[str, Outcome] = {}
    for outcome in outcomes:
        found.setdefault(outcome.verdict, outcome)
    return list(found.values())[:_WAYS]


def _steps(steps: Iterable[Step], commands: bool) -> Iterator[tuple[str, int]]:
    host = ""
    for step in steps:
        if step.host != host:
            host = step.host
            yield f"  {host}", 4
        mark = "↩" if step.what.startswith("answer: ") else _MARKS[step.level]
        indent = "  " * step.depth
        yield f"  {mark} {indent}{step.what}{_count(step.counters)}", 6 + len(indent)
        if commands and step.command:
            yield f"        {indent}$ {step.command}", 0


def _findings(findings: Iterable[Finding]) -> Iterator[tuple[str, int]]:
    for one in findings:
        yield f"  {one.host}: {one.what}", 4
        if one.command:
            yield f"        $ {one.command}", 0
        if one.mend:
            yield f"      → {one.mend}", 8


def _count(counters: str) -> str:
    """`9:740, 2 dropped` → `  [9 packets, 2 dropped]`."""
    packets, _, rest = counters.partition(":")
    more = rest.partition(",")[2]
    noun = "packet" if packets == "1" else "packets"
    return f"  [{packets} {noun}{',' if more else ''}{more}]" if counters else ""


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
