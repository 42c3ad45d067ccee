"""The route loop: a way to every node's pods in the network around the machines, and the condition NetworkUnavailable
that tells of it (route controller, node-route-controller)."""

from __future__ import annotations

import logging

from apimachinery.api.catalogue import NODES
from apimachinery.controller.event_parts import bare
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.cloud.context import Context, Object
from controlplane.cloud.provider import CloudProblem, Route, Routes
from controlplane.cloud.route_plan import plan_condition, plan_routes, wanted_routes

log = logging.getLogger(__name__)

NAME = "node-route-controller"
_ALL = "routes"


class RouteController:
    """One key: a pass over all Nodes and routes."""

    name = NAME

    def __init__(self, context: Context, routes: Routes) -> None:
        self._client, self._routes, self._clock = context.client, routes, context.clock
        self._period, self._pods = context.periods.routes, context.pods
        self._informer = context.informers.get(NODES)
        self._recorder = context.recorder("route_controller")
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self._informer.add_handler(lambda _: self._queue.add(_ALL), self._updated, lambda _: self._queue.add(_ALL))

    async def run(self) -> None:
        """Work until cancelled."""
        await self._informer.wait_synced()
        self._queue.add(_ALL)
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Make what is missing, remove what is left over, say so on the Nodes."""
        nodes = self._informer.lister.list()
        try:
            plan = plan_routes(nodes, await self._routes.list(), self._pods)
        except CloudProblem as problem:
            log.error("Couldn't reconcile node routes: error listing routes: %s", problem)
            return self._period
        for route in plan.delete:
            await self._delete(route)
        by_name = {objects.name(node): node for node in nodes}
        failed = {name for name, route in plan.create if not await self._create(by_name[name], route)}
        for name, node in by_name.items():
            # A node without a subnet has no say yet: node IPAM is at it.
            if (node.get("spec") or {}).get("podCIDR"):
                await self._tell(node, bool(wanted_routes(node)) and name not in failed)
        return self._period

    async def _create(self, node: Object, route: Route) -> bool:
        name, began = objects.name(node), self._clock.monotonic()
        try:
            await self._routes.create(route)
        except CloudProblem as problem:
            took = f"{self._clock.monotonic() - began:.3f}s"
            uid = objects.uid(node)
            message = f"Could not create route {uid} {route.destination} for node {name} after {took}: {problem}"
            log.error("%s", message)
            self._recorder.event(bare(node, uid=name, api_version=""), "Warning", "FailedToCreateRoute", message)
            return False
        log.info("Created route for node %s %s via %s", name, route.destination, route.gateway)
        return True

    async def _delete(self, route: Route) -> None:
        try:
            await self._routes.delete(route)
        except CloudProblem as problem:
            log.error("Could not delete route %s via %s: %s", route.destination, route.gateway, problem)
        else:
            log.info("Deleted route %s via %s", route.destination, route.gateway)

    async def _tell(self, node: Object, routed: bool) -> None:
        condition = plan_condition(node, routed, times.rfc3339(self._clock.now()))
        if condition is None:
            return
        try:
            body = {"status": {"conditions": [condition]}}
            await self._client.patch(NODES, objects.name(node), body, kind="strategic", subresource="status")
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _updated(self, old: Object, new: Object) -> None:
        # Not every ten seconds only, as upstream: a new node is waited for.
        if wanted_routes(old) != wanted_routes(new):
            self._queue.add(_ALL)
