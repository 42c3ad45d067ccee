"""The report as people read it, and as programs do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from controlplane.scheduler.explain.changes import spelled
from controlplane.scheduler.explain.report import NodeReport, Report
from controlplane.scheduler.framework import Framework, Verdict
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


def lines(
    pod: PodInfo, report: Report, snapshot: Snapshot, framework: Framework, doubts: Sequence[str] = ()
) -> Iterator[str]:
    """A table of nodes, and one sentence that says what follows from it. doubts: what the answer does not know of."""
    yield f"pod {pod.key}: {_state(pod)}"
    yield from (f"  {one}" for one in (*_asks(pod), *doubts))
    yield ""
    if not report.nodes:
        yield "There is no node."
        return
    yield from _refused([one for one in report.nodes if one.refusals], pod, snapshot)
    yield from _scored([one for one in report.nodes if not one.refusals], report.best, framework)
    yield _conclusion(pod, report)
    if report.suggestion is not None:
        yield from (f"    {change.command}" for change in report.suggestion.changes if change.command)


def document(pod: PodInfo, report: Report) -> dict[str, Any]:
    """The same for programs."""
    nodes = [
        {
            "name": one.name,
            "fits": not one.refusals,
            "refusals": [{"plugin": each.plugin, "reasons": list(each.reasons)} for each in one.refusals],
            "scores": dict(one.scores),
            "total": one.total,
        }
        for one in report.nodes
    ]
    suggestion = report.suggestion
    return {
        "pod": {"namespace": pod.namespace, "name": pod.name, "node": pod.node_name},
        "nodes": nodes,
        "best": list(report.best),
        "suggestion": None
        if suggestion is None
        else {"node": suggestion.node, "changes": [change.words for change in suggestion.changes]},
    }


def _state(pod: PodInfo) -> str:
    if pod.node_name:
        return f"on {pod.node_name}; as if it were to be scheduled again:"
    if pod.gates:
        return f"not considered before its scheduling gates are gone: {', '.join(pod.gates)}"
    return "waits for a node"


def _asks(pod: PodInfo) -> Iterator[str]:
    if pod.requests:
        yield "asks for " + ", ".join(
            f"{name} {spelled(name, amount)}" for name, amount in sorted(pod.requests.items())
        )


def _refused(nodes: Sequence[NodeReport], pod: PodInfo, snapshot: Snapshot) -> Iterator[str]:
    if not nodes:
        return
    rows = [("NODE", "REFUSED BY", "REASON")]
    for one in nodes:
        name = one.name
        for verdict in one.refusals:
            rows.append(
                (
                    name,
                    verdict.plugin,
                    "; ".join(_reason(verdict, each, pod, snapshot.by_name[one.name]) for each in verdict.reasons),
                )
            )
            name = ""
    yield from _table(rows)
    yield ""


def _reason(verdict: Verdict, reason: str, pod: PodInfo, node: NodeInfo) -> str:
    """The event's words, with the numbers that it leaves out."""
    lacking = reason.removeprefix("Insufficient ")
    if verdict.plugin == "NodeResourcesFit" and lacking != reason:
        has, used = node.allocatable.get(lacking, 0), node.requested.get(lacking, 0)
        return f"{reason}: {spelled(lacking, max(has - used, 0))} free of {spelled(lacking, has)}"
    return reason


def _scored(nodes: Sequence[NodeReport], best: Sequence[str], framework: Framework) -> Iterator[str]:
    if not nodes:
        return
    plugins = [plugin.name for plugin, _ in framework.scorers if any(plugin.name in one.scores for one in nodes)]
    rows = [("NODE", "SCORE", *plugins)]
    for one in sorted(nodes, key=lambda each: -each.total):
        mark = "*" if one.name in best else ""
        rows.append((one.name + mark, str(one.total), *(str(one.scores.get(plugin, 0)) for plugin in plugins)))
    yield from _table(rows)
    yield ""


def _conclusion(pod: PodInfo, report: Report) -> str:
    if report.best:
        if len(report.best) > 1:
            return f"{' and '.join(report.best)} have the highest score: one of them by lot."
        return f"{report.best[0]} has the highest score."
    if report.suggestion is None:
        everywhere = {verdict.reasons for one in report.nodes for verdict in one.refusals if verdict.whole_pod}
        if everywhere:
            return f"It is no matter of nodes: {'; '.join('; '.join(reasons) for reasons in sorted(everywhere))}."
        return "No change of the pod or of one node that we know of would let it in."
    changes = report.suggestion.changes
    return f"It would fit {report.suggestion.node} if {' and '.join(change.words for change in changes)}."


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
