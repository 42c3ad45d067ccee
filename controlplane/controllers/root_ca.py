"""Root CA publisher: every namespace has the cluster's authority in ConfigMap kube-root-ca.crt (KEP-1205).

Pods mount it beside their token, to know the API server by.
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import CONFIGMAPS, NAMESPACES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_already_exists
from controlplane.controllers.context import Context
from controlplane.controllers.pod_control import is_namespace_terminating

Object = dict[str, Any]

NAME = "root-ca-certificate-publisher-controller"
CONFIG_MAP = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def plan_config_map(namespace: Object, current: Object | None, root_ca: str) -> Object | None:
    """Return the ConfigMap to write (it has a resourceVersion when it is an update), or None when all is well."""
    if (namespace.get("status") or {}).get("phase") == "Terminating":
        return None
    metadata: Object = dict(current["metadata"]) if current is not None else {}
    metadata.update(name=CONFIG_MAP, namespace=objects.name(namespace))
    metadata["annotations"] = {**(metadata.get("annotations") or {}), DESCRIPTION: _TEXT}
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": root_ca}}
    if current is not None and current.get("data") == wanted["data"] and current["metadata"] == metadata:
        return None
    return wanted


class RootCAPublisher:
    """Reconciles namespaces by name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._root_ca = (context.config.root_ca or b"").decode()
        namespaces = context.informer(NAMESPACES)
        maps = context.informers.get(CONFIGMAPS, field_selector=f"metadata.name={CONFIG_MAP}")
        self._namespaces, self._maps = namespaces.lister, maps.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        namespaces.add_handler(lambda namespace: self._queue.add(objects.name(namespace)))
        maps.add_handler(
            on_update=lambda _, new: self._queue.add(objects.namespace(new)),
            on_delete=lambda gone: self._queue.add(objects.namespace(gone)),
        )

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Create or mend the ConfigMap of one namespace."""
        namespace = self._namespaces.get(key)
        if namespace is None:
            return None
        current = self._maps.get(CONFIG_MAP, key)
        wanted = plan_config_map(namespace, current, self._root_ca)
        if wanted is None:
            return None
        try:
            if current is None:
                await self._client.create(CONFIGMAPS, wanted)
            else:
                await self._client.update(CONFIGMAPS, wanted)
        except ApiError as error:
            if not is_already_exists(error) and not is_namespace_terminating(error):
                raise
        return None
