"""The three metrics APIs, as an autoscaler asks them (pkg/controller/podautoscaler/metrics/client.go).

Amounts are thousandths. Every refusal and every gap is a ValueError with upstream's message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta import go_print, quantity
from apimachinery.meta import labels as label_selectors
from apimachinery.meta.status import ApiError
from controlplane.controllers.discovery import ServedKinds, served_versions
from controlplane.controllers.hpa_replicas import Sample, read_custom_samples, read_samples

Object = dict[str, Any]

_CUSTOM, _EXTERNAL = "custom.metrics.k8s.io", "/apis/external.metrics.k8s.io/v1beta1"


class MetricsApis:
    """Reads metrics through the API server."""

    def __init__(self, client: Client, kinds: ServedKinds) -> None:
        self._client, self._kinds = client, kinds

    async def resource(self, namespace: str, selector: str, resource: str, container: str) -> Mapping[str, Sample]:
        """What each selected pod (or its one container) uses of cpu or memory, by the pod's name."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{quote(namespace)}/pods"
        begun = f"unable to get metrics for resource {resource}"
        try:
            listed = orjson.loads(await self._client.raw("GET", path, {"labelSelector": selector}))
        except (ApiError, ApiUnreachable) as error:
            said = f"{error} (get pods.metrics.k8s.io)" if isinstance(error, ApiError) else str(error)
            raise ValueError(f"{begun}: unable to fetch metrics from resource metrics API: {said}") from None
        if not listed.get("items"):
            raise ValueError(f"{begun}: no metrics returned from resource metrics API")
        try:
            return read_samples(listed, resource, container)
        except ValueError as error:
            raise ValueError(f"{begun}: failed to get container metrics: {error}") from None

    async def of_pods(self, namespace: str, selector: str, metric: Object) -> Mapping[str, Sample]:
        """One custom metric of each selected pod, by the pod's name."""
        path = f"namespaces/{quote(namespace)}/pods/*/{quote(metric['name'], safe='')}"
        try:
            return read_custom_samples(await self._custom(path, metric, selector))
        except ValueError as error:
            raise ValueError(f"unable to get metric {metric['name']}: {error}") from None

    async def of_object(self, namespace: str, described: Object, metric: Object) -> int:
        """One custom metric of one object."""
        name, kind = described["name"], described["kind"]
        try:
            path = await self._path_of(namespace, described)
            listed = await self._custom(f"{path}/{quote(metric['name'], safe='')}", metric)
            return quantity.milli(listed["items"][0]["value"])
        except (ValueError, LookupError) as error:
            # Upstream names the namespace where the kind belongs, and the error where the name does.
            said = f"{kind} on {namespace} {name}/{error}"
            raise ValueError(f"unable to get metric {metric['name']}: {said}") from None

    async def external(self, namespace: str, metric: Object) -> int:
        """The sum over all series of an external metric."""
        name, selector = metric["name"], metric.get("selector")
        query = {"labelSelector": str(label_selectors.from_label_selector(selector or {}))}
        begun = f"unable to get external metric {namespace}/{name}/{go_print.label_selector(selector)}"
        path = f"{_EXTERNAL}/namespaces/{quote(namespace)}/{quote(name, safe='')}"
        try:
            listed = orjson.loads(await self._client.raw("GET", path, query))
        except (ApiError, ApiUnreachable) as error:
            raise ValueError(f"{begun}: unable to fetch metrics from external metrics API: {error}") from None
        values = [quantity.milli(each["value"]) for each in listed.get("items") or ()]
        if not values:
            raise ValueError(f"{begun}: no metrics returned from external metrics API")
        return sum(values)

    async def _custom(self, path: str, metric: Object, pod_selector: str = "") -> Object:
        about = str(label_selectors.from_label_selector(metric.get("selector") or {}))
        query = {"labelSelector": pod_selector, "metricLabelSelector": about}
        try:
            served = await served_versions(self._client, _CUSTOM)
            version = next((each for each in ("v1beta2", "v1beta1") if each in served), "")
            if not version:
                raise ValueError(f"no custom metrics API ({_CUSTOM}) registered")
            answer = await self._client.raw(
                "GET", f"/apis/{_CUSTOM}/{version}/{path}", {key: text for key, text in query.items() if text}
            )
        except (ApiError, ApiUnreachable, ValueError) as error:
            raise ValueError(f"unable to fetch metrics from custom metrics API: {error}") from None
        listed: Object = orjson.loads(answer)
        if not listed.get("items"):
            raise ValueError("no metrics returned from custom metrics API")
        return listed

    async def _path_of(self, namespace: str, described: Object) -> str:
        name = quote(described["name"], safe="")
        if described["kind"] == "Namespace":
            return f"namespaces/{quote(namespace)}/metrics"
        group = (described.get("apiVersion") or "").rpartition("/")[0]
        resource = await self._kinds.resource(group, described["kind"], namespaced=False)
        path = f"{resource.group_resource}/{name}"
        return f"namespaces/{quote(namespace)}/{path}" if resource.namespaced else path
