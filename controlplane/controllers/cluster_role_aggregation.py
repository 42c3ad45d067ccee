"""ClusterRole aggregation: a role with an aggregationRule holds the rules of the roles that its selectors find
(pkg/controller/clusterroleaggregation)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import CLUSTERROLES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.labels import from_label_selector
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "clusterrole-aggregation-controller"


def plan_rules(role: Object, roles: Iterable[Object]) -> list[Object] | None:
    """The rules that `role` should hold, or None when it holds them (or aggregates nothing).

    roles: every ClusterRole. Rules come selector by selector, of each in the order of the roles' names, each once.
    """
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return None
    known = sorted(roles, key=objects.name)
    wanted: list[Object] = []
    for each in aggregation.get("clusterRoleSelectors") or ():
        selector = from_label_selector(each)
        for other in known:
            if objects.name(other) == objects.name(role) or not selector.matches(objects.labels(other)):
                continue
            wanted += [rule for rule in other.get("rules") or () if rule not in wanted]
    return None if wanted == (role.get("rules") or []) else wanted


class ClusterRoleAggregation:
    """Reconciles aggregating ClusterRoles by name; any change of any role makes it look at all of them."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        roles = context.informer(CLUSTERROLES)
        self._roles = roles.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        roles.add_handler(
            lambda role: self._enqueue(),
            on_update=lambda old, new: self._enqueue(),
            on_delete=lambda role: self._enqueue(),
        )

    def _enqueue(self) -> None:
        for role in self._roles.list():
            if role.get("aggregationRule") is not None:
                self._queue.add(objects.name(role))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Write the rules that the role lacks or should not have."""
        role = self._roles.get(key)
        if role is None:
            return None
        rules = plan_rules(role, self._roles.list())
        if rules is not None:
            applied = {
                "apiVersion": CLUSTERROLES.api_version,
                "kind": CLUSTERROLES.kind,
                "metadata": {"name": key},
                "rules": rules,
            }
            try:
                await self._client.patch(CLUSTERROLES, key, applied, kind="apply", field_manager=NAME, force=True)
            except ApiError as error:
                if not is_not_found(error):
                    raise
        return None
