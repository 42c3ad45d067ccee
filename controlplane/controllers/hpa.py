"""HorizontalPodAutoscaler: scales a target by the usage of its pods (pkg/controller/podautoscaler).

Resource metrics come from metrics.k8s.io. hpa_replicas.py says what they ask for, hpa_behavior.py how fast to go there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from apimachinery.api.catalogue import HORIZONTALPODAUTOSCALERS, PODS
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, quantity, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import ServedKinds
from controlplane.controllers.hpa_behavior import History, limit, stabilize
from controlplane.controllers.hpa_replicas import Proposal, propose, read_samples

Object = dict[str, Any]

NAME = "horizontal-pod-autoscaler-controller"
PERIOD = 15.0
"""Seconds between two looks at an autoscaler (--horizontal-pod-autoscaler-sync-period)."""
_SOURCES = {
    "Resource": ("resource", "FailedGetResourceMetric", "resource metric"),
    "ContainerResource": ("containerResource", "FailedGetContainerResourceMetric", "container metric"),
    "Pods": ("pods", "FailedGetPodsMetric", "pods metric"),
    "Object": ("object", "FailedGetObjectMetric", "object metric"),
    "External": ("external", "FailedGetExternalMetric", "external metric"),
}


class MetricError(Exception):
    """A metric cannot be had; reason is that of the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PodAutoscaler:
    """Reconciles autoscalers."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        autoscalers, all_pods = context.informer(HORIZONTALPODAUTOSCALERS), context.informer(PODS)
        self._autoscalers, self._pods = autoscalers.lister, all_pods.lister
        self._recorder = context.recorder("horizontal-pod-autoscaler")
        self._kinds = ServedKinds(context.client)
        self._histories: dict[str, History] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=5)
        autoscalers.add_handler(self._enqueue, self._changed, self._enqueue)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Read the target's scale and the metrics, scale if they say so, write status."""
        hpa = self._autoscalers.get_by_key(key)
        if hpa is None:
            self._histories.pop(key, None)
            return None
        status = {**(hpa.get("status") or {}), "conditions": list((hpa.get("status") or {}).get("conditions") or ())}
        try:
            await self._autoscale(key, hpa, status)
        finally:
            self._queue.add_after(key, PERIOD)
        await self._write(hpa, status)
        return None

    async def _autoscale(self, key: str, hpa: Object, status: Object) -> None:
        try:
            path, scale = await self._scale(hpa)
        except (ApiError, LookupError) as error:
            message = f"the HPA controller was unable to get the target's current scale: {error}"
            self._recorder.event(hpa, "Warning", "FailedGetScale", str(error))
            self._put(status, "AbleToScale", "False", "FailedGetScale", message)
            return
        message = "the HPA controller was able to get the target's current scale"
        self._put(status, "AbleToScale", "True", "SucceededGetScale", message)
        spec, now = hpa["spec"], self._clock.monotonic()
        current = int((scale.get("spec") or {}).get("replicas") or 0)
        least, most = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = History([(now, current)])
        status["currentReplicas"] = current
        if current == 0 and least != 0:
            message = "scaling is disabled since the replica count of the target is zero"
            self._put(status, "ScalingActive", "False", "ScalingDisabled", message)
            desired, why = 0, ""
        elif current > most:
            desired, why = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            desired, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            try:
                asked, metric = await self._ask_metrics(hpa, scale, status, current)
            except MetricError as error:
                self._recorder.event(hpa, "Warning", "FailedComputeMetricsReplicas", str(error))
                return
            why = f"{metric} above target" if asked > current else "All metrics below target"
            desired = self._normalize(spec.get("behavior"), history, status, current, asked, (least, most))
        if desired != current:
            scale["spec"] = {**(scale.get("spec") or {}), "replicas": desired}
            try:
                await self._client.raw("PUT", path, body=scale)
            except ApiError as error:
                told = f"New size: {desired}; reason: {why}; error: {error}"
                self._recorder.event(hpa, "Warning", "FailedRescale", told)
                message = f"the HPA controller was unable to update the target scale: {error}"
                self._put(status, "AbleToScale", "False", "FailedUpdateScale", message)
                return
            message = f"the HPA controller was able to update the target scale to {desired}"
            self._put(status, "AbleToScale", "True", "SucceededRescale", message)
            self._recorder.event(hpa, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {why}")
            history.scaled(now, desired - current)
            status["lastScaleTime"] = times.rfc3339(self._clock.now())
        status["desiredReplicas"] = desired

    def _normalize(
        self,
        behavior: Object | None,
        history: History,
        status: Object,
        current: int,
        asked: int,
        bounds: tuple[int, int],
    ) -> int:
        now = self._clock.monotonic()
        stable, reason, message = stabilize(behavior, history, current, asked, now)
        history.recommend(now, asked)
        self._put(status, "AbleToScale", "True", reason, message)
        desired, reason, message = limit(behavior, history, current, stable, bounds, now)
        self._put(status, "ScalingLimited", "False" if desired == stable else "True", reason, message)
        return desired

    async def _ask_metrics(self, hpa: Object, scale: Object, status: Object, current: int) -> tuple[int, str]:
        """Return the most that a metric asks for, and its name. Raises MetricError when nothing may be concluded."""
        text = (scale.get("status") or {}).get("selector") or ""
        if not text:
            self._recorder.event(hpa, "Warning", "SelectorRequired", "selector is required")
            message = "the HPA target's scale is missing a selector"
            self._put(status, "ScalingActive", "False", "InvalidSelector", message)
            raise MetricError("InvalidSelector", "selector is required")
        metrics = hpa["spec"].get("metrics") or ()
        replicas, name, errors, found = 0, "", [], []
        for metric in metrics:
            try:
                proposal, title, current_value = await self._ask(hpa, metric, text, current)
            except MetricError as error:
                self._recorder.event(hpa, "Warning", error.reason, str(error))
                errors.append((metric, error))
                continue
            found.append(current_value)
            if replicas == 0 or proposal.replicas > replicas:
                replicas, name = proposal.replicas, title
        if errors and (len(errors) >= len(metrics) or replicas < current):
            metric, first = errors[0]
            message = f"the HPA was unable to compute the replica count: {first}"
            self._put(status, "ScalingActive", "False", first.reason, message)
            source, _, word = _SOURCES[metric["type"]]
            about = (metric.get(source) or {}).get("name") or ((metric.get(source) or {}).get("metric") or {}).get(
                "name"
            )
            counts = f"invalid metrics ({len(errors)} invalid out of {len(metrics)})"
            raise MetricError(first.reason, f"{counts}, first error is: failed to get {about} {word} value: {first}")
        message = f"the HPA was able to successfully calculate a replica count from {name}"
        self._put(status, "ScalingActive", "True", "ValidMetricFound", message)
        status["currentMetrics"] = found
        return replicas, name

    async def _ask(self, hpa: Object, metric: Object, selector: str, current: int) -> tuple[Proposal, str, Object]:
        source, reason, _ = _SOURCES[metric["type"]]
        about = metric.get(source) or {}
        if source not in ("resource", "containerResource"):
            name = (about.get("metric") or {}).get("name")
            raise MetricError(reason, f"unable to get metric {name}: custom and external metrics are not read here")
        resource, container, target = about["name"], about.get("container") or "", about["target"]
        percent, average = target.get("averageUtilization"), target.get("averageValue")
        try:
            samples = await self._samples(objects.namespace(hpa), selector, resource, container)
            targets = self._pods.list(objects.namespace(hpa), label_selectors.parse_selector(selector))
            proposal = propose(
                targets, samples, resource, current, self._clock.now(), container=container,
                utilization=None if average is not None else percent,
                average=quantity.milli(average) if average is not None else None,
            )  # fmt: skip
        except (ApiError, ApiUnreachable, ValueError) as error:
            word = "usage" if average is not None else "utilization"
            raise MetricError(reason, f"failed to get {resource} {word}: {error}") from None
        value: Object = {"averageValue": quantity.format_milli(proposal.value)}
        if proposal.utilization is not None:
            value["averageUtilization"] = proposal.utilization
        shown: Object = {"name": resource, **({"container": container} if container else {}), "current": value}
        what = f"{resource} container resource" if container else f"{resource} resource"
        suffix = " utilization (percentage of request)" if proposal.utilization is not None else ""
        return proposal, what + suffix, {"type": metric["type"], source: shown}

    async def _samples(self, namespace: str, selector: str, resource: str, container: str) -> Mapping[str, Any]:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{quote(namespace)}/pods"
        begun = f"unable to get metrics for resource {resource}"
        try:
            listed = orjson.loads(await self._client.raw("GET", path, {"labelSelector": selector}))
        except ApiError as error:
            said = f"{error} (get pods.metrics.k8s.io)"
            raise ValueError(f"{begun}: unable to fetch metrics from resource metrics API: {said}") from None
        found = read_samples(listed, resource, container)
        if not found:
            raise ValueError(f"{begun}: no metrics returned from resource metrics API")
        return found

    async def _scale(self, hpa: Object) -> tuple[str, Object]:
        """Return the path of the target's scale, and the scale. Raises ApiError, LookupError."""
        target = hpa["spec"]["scaleTargetRef"]
        group = (target.get("apiVersion") or "").rpartition("/")[0]
        resource = await self._kinds.resource(group, target["kind"])
        path = resource.path(objects.namespace(hpa), target["name"], "scale")
        scale: Object = orjson.loads(await self._client.raw("GET", path))
        return path, scale

    async def _write(self, hpa: Object, status: Object) -> None:
        if status == (hpa.get("status") or {}):
            return
        status.setdefault("desiredReplicas", 0)
        try:
            await self._client.update(HORIZONTALPODAUTOSCALERS, {**hpa, "status": status}, "status")
        except ApiError as error:
            if is_not_found(error):
                return
            self._recorder.event(hpa, "Warning", "FailedUpdateStatus", str(error))
            raise

    def _put(self, status: Object, kind: str, word: str, reason: str, message: str) -> None:
        """Set a condition; its time moves with its status."""
        found = status["conditions"]
        current = next((each for each in found if each["type"] == kind), None)
        since = current.get("lastTransitionTime") if current is not None and current["status"] == word else None
        now = since or times.rfc3339(self._clock.now())
        wanted = {"type": kind, "status": word, "lastTransitionTime": now, "reason": reason, "message": message}
        if current is None:
            found.append(wanted)
        else:
            found[found.index(current)] = wanted

    def _enqueue(self, hpa: Object) -> None:
        self._queue.add(objects.key(hpa))

    def _changed(self, old: Object, new: Object) -> None:
        if old.get("spec") != new.get("spec"):
            self._queue.add(objects.key(new))
