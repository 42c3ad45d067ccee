"""What each kind of metric source asks for, and how the status shows it.

(pkg/controller/podautoscaler/horizontal.go)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery.cache.lister import Lister
from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import Clock
from apimachinery.meta import go_print, objects, quantity
from apimachinery.meta import labels as label_selectors
from apimachinery.meta.status import ApiError
from controlplane.controllers.hpa_metrics import MetricsApis
from controlplane.controllers.hpa_replicas import Caution, Proposal, propose, propose_by_total, propose_per_replica

Object = dict[str, Any]

_SOURCES = {
    "Resource": ("resource", "FailedGetResourceMetric", "failed to get {} resource metric value"),
    "ContainerResource": (
        "containerResource", "FailedGetContainerResourceMetric", "failed to get {} container metric value",
    ),
    "Pods": ("pods", "FailedGetPodsMetric", "failed to get pods metric value"),
    "Object": ("object", "FailedGetObjectMetric", "failed to get object metric value"),
    "External": ("external", "FailedGetExternalMetric", "failed to get {} external metric value"),
}  # fmt: skip


class MetricError(Exception):
    """A metric cannot be had; reason is that of the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled. selector: of its pods, as text. current, running: replicas by the scale's spec and status."""

    selector: str
    current: int
    running: int


def reason_and_words(metric: Object) -> tuple[str, str]:
    """Return the reason of a failure of this metric, and how a message about it begins."""
    source, reason, words = _SOURCES[metric["type"]]
    about = metric.get(source) or {}
    return reason, words.format(about.get("name") or (about.get("metric") or {}).get("name"))


class MetricSources:
    """Asks for the metrics of autoscalers."""

    def __init__(self, apis: MetricsApis, pods: Lister, clock: Clock, caution: Caution) -> None:
        self._apis, self._pods, self._clock, self._caution = apis, pods, clock, caution

    async def ask(self, hpa: Object, metric: Object, target: Target) -> tuple[Proposal, str, Object]:
        """Return what one metric asks for, its name in messages, and its entry of the status. Raises MetricError."""
        reason, _ = reason_and_words(metric)
        try:
            match metric["type"]:
                case "Resource" | "ContainerResource":
                    return await self._resource(hpa, metric, target)
                case "Pods":
                    return await self._of_pods(hpa, metric["pods"], target)
                case "Object":
                    return await self._of_object(hpa, metric["object"], target)
                case _:
                    return await self._external(hpa, metric["external"], target)
        except (ApiError, ApiUnreachable, ValueError) as error:
            raise MetricError(reason, str(error)) from None

    async def _resource(self, hpa: Object, metric: Object, target: Target) -> tuple[Proposal, str, Object]:
        source, *_ = _SOURCES[metric["type"]]
        about = metric[source]
        resource, container, wanted = about["name"], about.get("container") or "", about["target"]
        percent, average = wanted.get("averageUtilization"), wanted.get("averageValue")
        try:
            proposal = propose(
                self._targets(hpa, target),
                await self._apis.resource(objects.namespace(hpa), target.selector, resource, container),
                resource,
                target.current,
                self._clock.now(),
                container=container,
                utilization=None if average is not None else percent,
                average=quantity.milli(average) if average is not None else None,
                caution=self._caution,
            )
        except ValueError as error:
            word = "usage" if average is not None else "utilization"
            raise ValueError(f"failed to get {resource} {word}: {error}") from None
        value: Object = {"averageValue": quantity.format_milli(proposal.value)}
        if proposal.utilization is not None:
            value["averageUtilization"] = proposal.utilization
        shown: Object = {"name": resource, **({"container": container} if container else {}), "current": value}
        what = f"{resource} container resource" if container else f"{resource} resource"
        suffix = " utilization (percentage of request)" if proposal.utilization is not None else ""
        return proposal, what + suffix, {"type": metric["type"], source: shown}

    async def _of_pods(self, hpa: Object, about: Object, target: Target) -> tuple[Proposal, str, Object]:
        metric = about["metric"]
        samples = await self._apis.of_pods(objects.namespace(hpa), target.selector, metric)
        average = quantity.milli(about["target"]["averageValue"])
        now, targets = self._clock.now(), self._targets(hpa, target)
        proposal = propose(targets, samples, "", target.current, now, average=average, caution=self._caution)
        shown = {"metric": metric, "current": {"averageValue": quantity.format_milli(proposal.value)}}
        return proposal, f"pods metric {metric['name']}", {"type": "Pods", "pods": shown}

    async def _of_object(self, hpa: Object, about: Object, target: Target) -> tuple[Proposal, str, Object]:
        metric, described = about["metric"], about["describedObject"]
        usage = await self._apis.of_object(objects.namespace(hpa), described, metric)
        proposal, value, average = self._from_total(hpa, about["target"], usage, target)
        name = f"{described['kind']} metric {metric['name']}"
        if average:  # upstream names it so
            name = f"external metric {metric['name']}({go_print.label_selector(metric.get('selector'))})"
        shown = {"metric": metric, "describedObject": described, "current": value}
        return proposal, name, {"type": "Object", "object": shown}

    async def _external(self, hpa: Object, about: Object, target: Target) -> tuple[Proposal, str, Object]:
        metric = about["metric"]
        try:
            usage = await self._apis.external(objects.namespace(hpa), metric)
        except ValueError as error:
            per_replica = about["target"].get("averageValue") is not None
            words = f"{metric['name']} external metric" if per_replica else f"external metric {metric['name']}"
            raise ValueError(f"failed to get {words}: {error}") from None
        proposal, value, _ = self._from_total(hpa, about["target"], usage, target)
        name = f"external metric {metric['name']}({go_print.label_selector(metric.get('selector'))})"
        return proposal, name, {"type": "External", "external": {"metric": metric, "current": value}}

    def _from_total(self, hpa: Object, wanted: Object, usage: int, target: Target) -> tuple[Proposal, Object, bool]:
        """Return the proposal, the value to show, and whether it is one per replica."""
        if wanted.get("averageValue") is not None:
            average = quantity.milli(wanted["averageValue"])
            proposal = propose_per_replica(usage, average, target.running, self._caution)
            return proposal, {"averageValue": quantity.format_milli(proposal.value)}, True
        goal = quantity.milli(wanted["value"])
        proposal = propose_by_total(usage, goal, target.current, self._targets(hpa, target), self._caution)
        return proposal, {"value": quantity.format_milli(proposal.value)}, False

    def _targets(self, hpa: Object, target: Target) -> list[Object]:
        return self._pods.list(objects.namespace(hpa), label_selectors.parse_selector(target.selector))
