"""Preemption: which running pods to evict so that a pod of higher priority fits (upstream's DefaultPreemption).

Pure: `plan_preemption` looks at a snapshot and names a node and its victims; schedule_one evicts them and nominates the
node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.scheduler.budgets import Violating, no_budgets
from controlplane.scheduler.decision import Nominated, judge_beside
from controlplane.scheduler.framework import Framework, Verdict
from controlplane.scheduler.messages import summarize
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."


@dataclass(frozen=True, slots=True)
class Victims:
    """Evict `pods`, the most important first, from `node`; `violations` of them break a disruption budget."""

    node: str
    pods: tuple[PodInfo, ...]
    violations: int = 0


@dataclass(frozen=True, slots=True)
class Preemption:
    """What to evict, or why nothing would help (one of the two is empty).

    failed: it could not be found out. waits: the pod may still get the node that it is nominated to.
    """

    victims: Victims | None
    message: str = ""
    failed: bool = False
    waits: bool = False

    @property
    def nominated(self) -> str | None:
        """The node that the pod waits for now, "" for none; None where that stays as it is."""
        if self.victims is not None:
            return self.victims.node
        return None if self.failed or self.waits else ""


def plan_preemption(
    framework: Framework,
    pod: PodInfo,
    snapshot: Snapshot,
    refusals: Mapping[str, Verdict],
    violating: Violating = no_budgets,
    start: int = 0,
    nominated: Nominated | None = None,
) -> Preemption:
    """Find the node where evicting pods of lower priority lets `pod` in at the least harm.

    refusals: of the decision that failed; nodes that eviction cannot help are not tried. violating: which evictions
    would break a PodDisruptionBudget; that is avoided where it can be, and done where nothing else helps.
    start: which node is tried first. nominated: as of `decide`, their room is not given away.
    Costs one run of all filters per node that is tried and per victim that is spared.
    """
    found = find_candidates(framework, pod, snapshot, refusals, violating, start, nominated)
    return found if isinstance(found, Preemption) else Preemption(least_harm(found))


def least_harm(candidates: Sequence[Victims]) -> Victims:
    """The candidate whose eviction does the least harm."""
    return min(candidates, key=_harm)


def find_candidates(
    framework: Framework,
    pod: PodInfo,
    snapshot: Snapshot,
    refusals: Mapping[str, Verdict],
    violating: Violating = no_budgets,
    start: int = 0,
    nominated: Nominated | None = None,
) -> list[Victims] | Preemption:
    """The nodes that evictions would make fit, one of which breaks no budget if one was found, or why there is none.

    Of a large cluster so many as the profile's `candidates` say; otherwise as `plan_preemption`."""
    if refrains := _refrains(pod, snapshot, refusals):
        return Preemption(None, refrains, waits=True)
    useless: dict[str, Verdict] = {}
    hopeful: list[NodeInfo] = []
    for node in snapshot.nodes:
        refusal = refusals.get(node.name)
        # Nodes without a refusal are those that an extender left out without a word.
        if refusal is not None and refusal.resolvable:
            hopeful.append(node)
        else:
            useless[node.name] = Verdict("DefaultPreemption", (NOT_HELPFUL,))
    enough = framework.candidates
    wanted = max(len(hopeful) * enough.percentage // 100, enough.absolute)
    first = start % max(len(hopeful), 1)
    found: list[Victims] = []
    for node in hopeful[first:] + hopeful[:first]:
        victims = select_victims(framework, pod, snapshot, node, violating, nominated or {})
        if isinstance(victims, Verdict):
            useless[node.name] = victims
            continue
        found.append(victims)
        if len(found) >= wanted and any(not each.violations for each in found):
            break
    return found or Preemption(None, summarize(len(snapshot), useless))


def _refrains(pod: PodInfo, snapshot: Snapshot, refusals: Mapping[str, Verdict]) -> str:
    """Why the pod may evict nobody now; empty when it may.

    Who has evicted others waits for them, unless nothing can be had any more on the node where they go."""
    if pod.spec.get("preemptionPolicy") == "Never":
        return NEVER
    refusal, awaited = refusals.get(pod.nominated_node), snapshot.by_name.get(pod.nominated_node)
    if awaited is None or refusal is None or not refusal.resolvable:
        return ""
    leaving = any(p.preempted and p.priority < pod.priority for p in awaited.pods.values())
    return TERMINATING if leaving else ""


def select_victims(
    framework: Framework,
    pod: PodInfo,
    snapshot: Snapshot,
    node: NodeInfo,
    violating: Violating,
    nominated: Nominated,
) -> Victims | Verdict:
    """Return the fewest, least important pods whose eviction from `node` lets `pod` in, or why none would."""
    nobody = Verdict("DefaultPreemption", (NO_VICTIMS,))
    lower = sorted((p for p in node.pods.values() if p.priority < pod.priority), key=_importance)
    if not lower:
        return nobody
    trial = node.clone()
    for victim in lower:
        trial.remove_pod(victim.uid)

    def refusal() -> Verdict:
        """Ask every filter about the changed node; the plugins' counts are taken anew with the pods that remain."""
        return judge_beside(framework, pod, snapshot.replacing(trial), nominated)(trial)

    if (still := refusal()).reasons:
        return still
    chosen: list[PodInfo] = []
    # Spare first whose eviction would break a budget, then the more important.
    guarded = violating(lower)
    for victim in sorted(lower, key=lambda p: p.uid not in guarded):
        trial.add_pod(victim)
        if refusal().reasons:
            trial.remove_pod(victim.uid)
            chosen.append(victim)
    chosen.sort(key=_importance)
    return Victims(node.name, tuple(chosen), sum(1 for p in chosen if p.uid in guarded)) if chosen else nobody


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Order: the most important first (higher priority, then longer running)."""
    return (-pod.priority, _started(pod))


def _started(pod: PodInfo) -> str:
    """Return the creation time: the cache does not follow status changes, and start times order alike in practice."""
    return str(pod.pod["metadata"].get("creationTimestamp") or "~")


def _harm(victims: Victims) -> tuple[int, int, int, int, Sequence[int]]:
    """Order: fewest budgets broken, lowest highest priority, lowest sum, fewest pods, latest started."""
    priorities = [p.priority for p in victims.pods]
    highest = max(priorities)
    first_started = min(_started(p) for p in victims.pods if p.priority == highest)
    return (
        victims.violations,
        highest,
        sum(priority + 2**31 for priority in priorities),
        len(priorities),
        [-ord(char) for char in first_started],
    )
