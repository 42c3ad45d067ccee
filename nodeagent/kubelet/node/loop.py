"""Registering the node and keeping its status and Lease current (kubelet_node_status.go, KEP-589)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apimachinery.api.catalogue import NODES
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import quoted
from apimachinery.meta.status import ApiError, is_already_exists

from .lease import NodeLease
from .render import DEFAULT_LABELS, Node, differs, new_node, with_whole_addresses

log = logging.getLogger(__name__)

_RETRY_MIN, _RETRY_MAX = 0.2, 7.0  # between tries to register
_STATUS_TRIES = 5


class NodeLoop:
    """Our Node and its Lease. observe: makes the status from the Node as it is now. `known`: the Node as last read.

    update, report: seconds between looks at the node, and until a status is sent that has not changed. lease: seconds.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        observe: Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]],
        clock: Clock,
        *,
        labels: Mapping[str, str],
        taints: tuple[Mapping[str, str], ...],
        annotations: Mapping[str, str],
        provider_id: str,
        update: float,
        report: float,
        lease: int,
        register: bool,
        registered: Callable[[], None],
    ) -> None:
        self.client, self._name, self._observe, self._clock = client, name, observe, clock
        self.labels, self._taints, self._provider_id = labels, taints, provider_id
        self._annotations = annotations
        self._update, self._report, self._register = update, report, register
        self._tell_registered = registered
        self._lease = NodeLease(client, name, clock, lease)
        self._reported = -report
        self.known: Node = {}
        self._kick = asyncio.Event()
        self._registered = asyncio.Event()

    def kick(self) -> None:
        """Something about the node changed: look now."""
        self._kick.set()

    async def wait_registered(self) -> None:
        """Return when the API has the Node."""
        await self._registered.wait()

    async def run(self) -> None:
        """Register, then keep status and Lease until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._status_forever())
            tasks.create_task(self._lease_forever())

    async def _status_forever(self) -> None:
        retry = _RETRY_MIN
        while True:
            self._kick.clear()
            wait = self._update
            if not self._register or self._registered.is_set():
                await self._keep_status()
            elif not await self._tried():
                wait, retry = retry, min(retry * 2, _RETRY_MAX)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._kick.wait()

    async def _keep_status(self) -> None:
        """Five tries on end; whoever is in the way has until the next look (nodeStatusUpdateRetry)."""
        for _ in range(_STATUS_TRIES):
            if await self._tried():
                return
        log.error('"Unable to update node status" err="update node status exceeds retry count"')

    async def _tried(self) -> bool:
        try:
            await self._once()
        except (ApiError, ApiUnreachable) as error:
            self._tell_failure(error)
            return False
        return True

    async def _once(self) -> None:
        """Who deletes the Node of a kubelet that runs has deleted it until the kubelet is started anew, as upstream."""
        if self._register and not self._registered.is_set():
            node = await self._create()
        else:
            node = await self.client.get(NODES, self._name)
        self.known = node
        if not self._registered.is_set():
            node = await self._reconcile(node)
            self._registered.set()
            self._tell_registered()
        shown = node.get("status") or {}
        status = await self._observe(node)
        if differs(shown, status) or self._clock.monotonic() - self._reported >= self._report:
            body = {"status": with_whole_addresses(status)}
            await self.client.patch(NODES, self._name, body, kind="strategic", subresource="status")
            self._reported = self._clock.monotonic()

    def _tell_failure(self, error: ApiError | ApiUnreachable) -> None:
        if self._register and not self._registered.is_set():
            told, node = quoted(str(error)), quoted(self._name)
            log.error('"Unable to register node with API server" err=%s node=%s', told, node)
        else:
            why = f"error getting node {quoted(self._name)}: {error}"
            log.error('"Error updating node status, will retry" err=%s', quoted(why))

    async def _create(self) -> Node:
        log.info('"Attempting to register node" node=%s', quoted(self._name))
        status = await self._observe({})
        node = new_node(self._name, self.labels, self._taints, self._provider_id, status, self._annotations)
        try:
            made = await self.client.create(NODES, node)
        except ApiError as error:
            if not is_already_exists(error):
                raise
            log.info('"Node was previously registered" node=%s', quoted(self._name))
            return await self.client.get(NODES, self._name)
        log.info('"Successfully registered node" node=%s', quoted(self._name))
        return made

    async def _reconcile(self, node: Node) -> Node:
        """A node that was there before: give it today's standard labels and annotations.

        The labels of --node-labels and the taints are the administrator's by now (updateDefaultLabels).
        """
        changed = {}
        standard = {key: text for key, text in self.labels.items() if key in DEFAULT_LABELS}
        for field, wanted in (("labels", standard), ("annotations", self._annotations)):
            have = node["metadata"].get(field) or {}
            if missing := {key: text for key, text in wanted.items() if have.get(key) != text}:
                changed[field] = missing
        if not changed:
            return node
        return await self.client.patch(NODES, self._name, {"metadata": changed}, kind="merge")

    async def _lease_forever(self) -> None:
        while True:
            if not await self._lease.renew() and not self._registered.is_set():
                await self._registered.wait()
                continue
            await self._clock.sleep(self._lease.interval)
