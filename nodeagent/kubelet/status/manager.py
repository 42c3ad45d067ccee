"""Sending statuses to the API: the latest of each pod, one request at a time per pod, until it is there.

A static pod's status goes to its mirror pod. When a pod that is being deleted has ended and is cleaned up, the last
word is the DELETE that makes it vanish (grace 0, this uid only).

Others write statuses too: the node lifecycle controller takes `Ready` from the pods of a node that was silent. A change
of what is ours is answered with what is true (upstream's needsReconcile).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import PODS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.backoff import Backoff
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .compute import OWNED, Status

log = logging.getLogger(__name__)

# Requests under way at a time. Each more is a connection with a handshake of its own; what changes while a pod waits
# for its turn goes with the same request. Upstream sends one after the other.
_SENDERS = 4
_TIMES = ("startTime", "conditions")

Published = Callable[[Pod], Pod | None]
"""The pod as the API has it: itself, or a static pod's mirror; None when the API does not have it (yet)."""


@dataclass(slots=True)
class _Entry:
    pod: Pod
    status: Status
    version: int = 0
    sent: int = -1
    sent_to: str = ""
    answered: int = 0  # the revision that our last patch made
    answer: Pod | None = None  # the pod that it made, until a watch has told of it
    delete: bool = False
    ripe: bool = True


class StatusManager:
    """Keeps the API's picture of this node's pods true. `run` must be under way for anything to be sent."""

    def __init__(self, client: Client | None, published: Published, clock: Clock) -> None:
        self._client, self._published, self._clock = client, published, clock
        self._entries: dict[str, _Entry] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._ripening: dict[str, asyncio.Task[None]] = {}
        self._backoff = Backoff(0.2, 10.0, clock)
        self._turns = asyncio.Semaphore(_SENDERS)
        self._tasks: asyncio.TaskGroup | None = None

    def get(self, uid: str) -> Status | None:
        """The status last set."""
        entry = self._entries.get(uid)
        return entry.status if entry else None

    def previous(self, pod: Pod) -> Mapping[str, Any]:
        """What was last shown of the pod: what was set here, else what the API has."""
        held = self.get(pods.uid(pod))
        shown = self._published(pod) or {}
        if held is None:
            known: Status = shown.get("status") or {}
            # Of a static pod the mirror tells times, and no more: its file may have been taken away and put back since
            # (updateStatusInternal).
            return {k: v for k, v in known.items() if k in _TIMES} if pods.is_static(pod) else known
        # Readiness gates and the like are written by others.
        foreign = [c for c in (shown.get("status") or {}).get("conditions") or () if c["type"] not in OWNED]
        return {**held, "conditions": [*held["conditions"], *foreign]} if foreign else held

    def set(self, pod: Pod, status: Status, *, after: float = 0.0) -> None:
        """Note the status; it is sent if it differs from the last. after: seconds for which the next is awaited."""
        uid = pods.uid(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, status)
        elif entry.status == status:
            entry.pod = pod
            return
        else:
            entry.pod, entry.status, entry.version = pod, status, entry.version + 1
        if (ripening := self._ripening.pop(uid, None)) is not None:
            ripening.cancel()
        entry.ripe = not after or self._tasks is None
        if not entry.ripe and self._tasks is not None:
            self._ripening[uid] = self._tasks.create_task(self._ripen(uid, after))
        self.kick(uid)

    async def _ripen(self, uid: str, after: float) -> None:
        await self._clock.sleep(after)
        self._ripening.pop(uid, None)
        if (entry := self._entries.get(uid)) is not None:
            entry.ripe = True
            self.kick(uid)

    def finish(self, pod: Pod) -> None:
        """Everything of a pod that is being deleted is gone from the node: let the API forget it too."""
        entry = self._entries.get(pods.uid(pod))
        if entry is None:
            status = dict(pod.get("status") or {})
            entry = self._entries[pods.uid(pod)] = _Entry(pod, status, sent=0, sent_to=pods.uid(pod))
        entry.pod, entry.delete = pod, True
        self.kick(pods.uid(pod))

    def forget(self, uid: str) -> None:
        """The API has forgotten the pod."""
        self._entries.pop(uid, None)
        self._backoff.reset(uid)

    def kick(self, uid: str) -> None:
        """Send what is unsent of this pod: its mirror has appeared, the API is back, or the API's pod was changed."""
        if self._tasks is None or uid in self._sending or self._client is None or uid not in self._entries:
            return
        self._sending[uid] = self._tasks.create_task(self._send_until_done(uid, self._client))

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for uid in list(self._entries):
                self.kick(uid)
            await stop.wait()
            self._tasks = None
            for task in (*self._sending.values(), *self._ripening.values()):
                task.cancel()

    async def _send_until_done(self, uid: str, client: Client) -> None:
        try:
            while (entry := self._entries.get(uid)) is not None:
                try:
                    async with self._turns:
                        if await self._send(uid, entry, client):
                            return
                    self._backoff.reset(uid)
                except ApiUnreachable:
                    await self._clock.sleep(self._backoff.next(uid))
                except ApiError as error:
                    if is_not_found(error) or (is_conflict(error) and entry.delete):
                        self._lost(uid, entry)
                        return
                    log.warning("Failed to update status for pod %s: %s", pods.describe(entry.pod), error)
                    await self._clock.sleep(self._backoff.next(uid))
        finally:
            self._sending.pop(uid, None)

    async def _send(self, uid: str, entry: _Entry, client: Client) -> bool:
        """Send what is to be sent first; True when there was nothing. Raises ApiError, ApiUnreachable."""
        target = self._published(entry.pod)
        if target is None:
            return True
        target = _newest(entry, target)
        # A mirror that was deleted and made again has to be told everything anew.
        told = entry.sent == entry.version and entry.sent_to == pods.uid(target)
        if told and _overwritten(entry, target):
            told = False
        if not entry.delete and (told or not entry.ripe):
            return True
        if told:
            await self._delete(client, target)
            self.forget(uid)
        else:
            await self._patch(client, entry, target)
        return False

    def _lost(self, uid: str, entry: _Entry) -> None:
        """The API does not have the object any more; a static pod will get another mirror."""
        if pods.is_static(entry.pod):
            entry.sent_to = ""
        else:
            self.forget(uid)

    async def _patch(self, client: Client, entry: _Entry, target: Pod) -> None:
        version = entry.version
        body = render_patch(target, entry.status)
        if body is not None:
            metadata = target["metadata"]
            entry.answer = await client.patch(
                PODS, metadata["name"], body, metadata["namespace"], kind="strategic", subresource="status"
            )
            entry.answered = int(objects.resource_version(entry.answer))
        entry.sent, entry.sent_to = version, pods.uid(target)

    async def _delete(self, client: Client, target: Pod) -> None:
        metadata = target["metadata"]
        await client.delete(PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"], grace_period=0)


def _newest(entry: _Entry, target: Pod) -> Pod:
    """The pod as our own last patch made it while the watch is behind that: what is taken back at once is a change."""
    answer = entry.answer
    behind = int(objects.resource_version(target)) < entry.answered
    if answer is not None and behind and pods.uid(answer) == pods.uid(target):
        return answer
    entry.answer = None
    return target


def _overwritten(entry: _Entry, target: Pod) -> bool:
    """Whether somebody changed our part of the status after us. What is older than our last word proves nothing."""
    return int(objects.resource_version(target)) > entry.answered and render_patch(target, entry.status) is not None


def render_patch(target: Pod, status: Status) -> dict[str, Any] | None:
    """The strategic merge patch that brings the API's pod to `status`; None when it is there already.

    Conditions are merged by type, so those of others stay; lists of addresses are replaced as a whole.
    """
    shown: Mapping[str, Any] = target.get("status") or {}
    changed: dict[str, Any] = {}
    for key, value in status.items():
        if key == "conditions":
            old = {condition["type"]: condition for condition in shown.get(key) or ()}
            different = [_replacing(old.get(c["type"]), c) for c in value if _bare(old.get(c["type"])) != _bare(c)]
            if different:
                changed[key] = different
        elif shown.get(key) != value:
            replace = [{"$patch": "replace"}] if key in ("podIPs", "hostIPs") and shown.get(key) else []
            changed[key] = [*value, *replace] if replace else value
    for key in ("podIP", "podIPs", "reason", "message", "resize"):
        if key in shown and key not in status:
            changed[key] = None
    if not changed:
        return None
    return {"metadata": {"uid": target["metadata"]["uid"]}, "status": changed}


def _replacing(before: Mapping[str, Any] | None, condition: Mapping[str, Any]) -> dict[str, Any]:
    """A patch of a condition keeps what it does not name: a reason that no longer holds is taken away by name."""
    return {**dict.fromkeys(_bare(before)), **condition}


def _bare(condition: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (condition or {}).items() if value is not None}
