"""ServiceAccount: every namespace has a ServiceAccount named default (pkg/controller/serviceaccount)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import NAMESPACES, SERVICEACCOUNTS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_already_exists
from controlplane.controllers.context import Context
from controlplane.controllers.pod_control import is_namespace_terminating

Object = dict[str, Any]

NAME = "serviceaccount-controller"
DEFAULT = "default"


def plan_account(namespace: Object, current: Object | None) -> Object | None:
    """Return the ServiceAccount to create, or None when nothing is missing (or the namespace is going)."""
    if current is not None or (namespace.get("status") or {}).get("phase") == "Terminating":
        return None
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": DEFAULT, "namespace": objects.name(namespace)},
    }


class ServiceAccountController:
    """Reconciles namespaces by name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        namespaces, accounts = context.informer(NAMESPACES), context.informer(SERVICEACCOUNTS)
        self._namespaces, self._accounts = namespaces.lister, accounts.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        namespaces.add_handler(lambda namespace: self._queue.add(objects.name(namespace)))
        accounts.add_handler(on_delete=lambda account: self._queue.add(objects.namespace(account)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Create the account that is missing."""
        namespace = self._namespaces.get(key)
        if namespace is None:
            return None
        missing = plan_account(namespace, self._accounts.get(DEFAULT, key))
        if missing is not None:
            try:
                await self._client.create(SERVICEACCOUNTS, missing)
            except ApiError as error:
                if not is_already_exists(error) and not is_namespace_terminating(error):
                    raise
        return None
