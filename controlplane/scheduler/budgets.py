"""PodDisruptionBudgets as preemption sees them: whose eviction would break one (filterPodsWithPDBViolation)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects
from controlplane.scheduler.pod_info import PodInfo

Object = dict[str, Any]
Violating = Callable[[Sequence[PodInfo]], frozenset[str]]
"""Of pods that would be evicted in this order: the uids of those whose turn breaks a budget."""


def no_budgets(pods: Sequence[PodInfo]) -> frozenset[str]:
    """Nothing is guarded."""
    return frozenset()


def violating(budgets: Iterable[Object], pods: Sequence[PodInfo]) -> frozenset[str]:
    """Count each budget's disruptionsAllowed down. Pods whose eviction is under way are counted in it already."""
    guards = [guard for guard in map(_Guard, budgets) if guard.selector.requirements]
    broken: set[str] = set()
    for pod in pods:
        for guard in guards:
            if pod.labels and guard.spends(pod):
                broken.add(pod.uid)
    return frozenset(broken)


class _Guard:
    """One budget, and what is left of it."""

    def __init__(self, budget: Object) -> None:
        status = budget.get("status") or {}
        self._namespace = objects.namespace(budget)
        self._left = int(status.get("disruptionsAllowed") or 0)
        self._disrupted = frozenset(status.get("disruptedPods") or ())
        try:
            self.selector = label_selectors.from_label_selector(budget["spec"].get("selector"))
        except ValueError:
            self.selector = label_selectors.NOTHING

    def spends(self, pod: PodInfo) -> bool:
        """Take one off for this pod, if it is guarded. True when there was nothing left."""
        if pod.namespace != self._namespace or not self.selector.matches(pod.labels) or pod.name in self._disrupted:
            return False
        self._left -= 1
        return self._left < 0
