"""HorizontalPodAutoscaler: scales a target by the usage of its pods (pkg/controller/podautoscaler).

hpa_sources.py and hpa_metrics.py ask for the metrics, hpa_replicas.py says how many replicas they call for,
hpa_behavior.py how fast to go there.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.api.catalogue import HORIZONTALPODAUTOSCALERS, PODS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import ServedKinds
from controlplane.controllers.hpa_behavior import History, limit, stabilize
from controlplane.controllers.hpa_metrics import MetricsApis
from controlplane.controllers.hpa_sources import MetricError, MetricSources, Target, reason_and_words

Object = dict[str, Any]

NAME = "horizontal-pod-autoscaler-controller"


class PodAutoscaler:
    """Reconciles autoscalers."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._config = context.client, context.clock, context.config
        autoscalers, all_pods = context.informer(HORIZONTALPODAUTOSCALERS), context.informer(PODS)
        self._autoscalers, self._pods = autoscalers.lister, all_pods.lister
        self._recorder = context.recorder("horizontal-pod-autoscaler")
        self._kinds = ServedKinds(context.client)
        self._sources = MetricSources(
            MetricsApis(context.client, self._kinds), self._pods, context.clock, self._config.hpa_caution
        )
        # The selector of each autoscaler's pods when it was last looked at: two must not pull at the same pods.
        self._selectors: dict[str, label_selectors.Selector] = {}
        self._histories: dict[str, History] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        autoscalers.add_handler(self._enqueue, self._changed, self._enqueue)

    def recall(self, other: PodAutoscaler) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._selectors = dict(other._selectors)
        self._histories = {
            key: History(list(each.recommended), list(each.changes)) for key, each in other._histories.items()
        }

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Read the target's scale and the metrics, scale if they say so, write status."""
        hpa = self._autoscalers.get_by_key(key)
        if hpa is None:
            self._histories.pop(key, None)
            self._selectors.pop(key, None)
            return None
        status = {**(hpa.get("status") or {}), "conditions": list((hpa.get("status") or {}).get("conditions") or ())}
        await self._autoscale(key, hpa, status)
        await self._write(hpa, status)
        return self._config.hpa_sync_period

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
        status["currentMetrics"] = None  # they are of this look or of none
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
                asked, metric = await self._ask_metrics(key, hpa, scale, status, current)
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
        stable, reason, message = stabilize(behavior, history, current, asked, now, self._config.hpa_down_window)
        history.recommend(now, asked)
        self._put(status, "AbleToScale", "True", reason, message)
        desired, reason, message = limit(behavior, history, current, stable, bounds, now)
        self._put(status, "ScalingLimited", "False" if desired == stable else "True", reason, message)
        return desired

    async def _ask_metrics(self, key: str, hpa: Object, scale: Object, status: Object, current: int) -> tuple[int, str]:
        """Return the most that a metric asks for, and its name. Raises MetricError when nothing may be concluded."""
        found_status = scale.get("status") or {}
        target = Target(found_status.get("selector") or "", current, int(found_status.get("replicas") or 0))
        self._check_selector(key, hpa, status, target.selector)
        metrics = hpa["spec"].get("metrics") or ()
        # One for each metric, in the order of the spec: that is how kubectl finds the value to a target.
        found: list[Object] = [{"type": ""} for _ in metrics]
        status["currentMetrics"] = found
        replicas, name, errors = 0, "", []
        for number, metric in enumerate(metrics):
            try:
                proposal, title, found[number] = await self._sources.ask(hpa, metric, target)
            except MetricError as error:
                self._recorder.event(hpa, "Warning", error.reason, str(error))
                errors.append((metric, error))
                continue
            if replicas == 0 or proposal.replicas > replicas:
                replicas, name = proposal.replicas, title
        if errors and (len(errors) >= len(metrics) or replicas < current):
            metric, first = errors[0]
            message = f"the HPA was unable to compute the replica count: {first}"
            self._put(status, "ScalingActive", "False", first.reason, message)
            counts = f"invalid metrics ({len(errors)} invalid out of {len(metrics)})"
            raise MetricError(first.reason, f"{counts}, first error is: {reason_and_words(metric)[1]}: {first}")
        message = f"the HPA was able to successfully calculate a replica count from {name}"
        self._put(status, "ScalingActive", "True", "ValidMetricFound", message)
        return replicas, name

    def _check_selector(self, key: str, hpa: Object, status: Object, text: str) -> None:
        """Raise MetricError unless the target says which pods are its own, and no other autoscaler has some of them."""
        if not text:
            self._recorder.event(hpa, "Warning", "SelectorRequired", "selector is required")
            message = "the HPA target's scale is missing a selector"
            self._put(status, "ScalingActive", "False", "InvalidSelector", message)
            raise MetricError("InvalidSelector", "selector is required")
        try:
            selector = label_selectors.parse_selector(text)
        except ValueError as error:
            message = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._recorder.event(hpa, "Warning", "InvalidSelector", message)
            self._put(status, "ScalingActive", "False", "InvalidSelector", message)
            raise MetricError("InvalidSelector", message) from None
        self._selectors[key] = selector
        namespace = objects.namespace(hpa)
        selected = [objects.labels(pod) for pod in self._pods.list(namespace, selector)]
        rivals = [
            name
            for other, theirs in sorted(self._selectors.items())
            for space, _, name in (other.partition("/"),)
            if space == namespace and any(theirs.matches(each) for each in selected)
        ]
        if len(rivals) > 1:
            those = " ".join(f"{{{name} {namespace}}}" for name in rivals)
            message = f"pods by selector {selector} are controlled by multiple HPAs: [{those}]"
            self._recorder.event(hpa, "Warning", "AmbiguousSelector", message)
            self._put(status, "ScalingActive", "False", "AmbiguousSelector", message)
            raise MetricError("AmbiguousSelector", message)

    async def _scale(self, hpa: Object) -> tuple[str, Object]:
        """Return the path of the target's scale, and the scale. Raises ApiError, LookupError."""
        target = hpa["spec"]["scaleTargetRef"]
        group = (target.get("apiVersion") or "").rpartition("/")[0]
        resource = await self._kinds.resource(group, target["kind"])
        path = resource.path(objects.namespace(hpa), target["name"], "scale")
        scale: Object = orjson.loads(await self._client.raw("GET", path))
        return path, scale

    async def _write(self, hpa: Object, status: Object) -> None:
        if _said(status) == _said(hpa.get("status") or {}):
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


def _said(status: Object) -> Object:
    """What is there: zeros and lists of nothing are not written."""
    return {key: value for key, value in status.items() if value}
