"""The pod lifecycle event generator: says which pods have changed in the runtime, so that their workers look.

Two ears: containerd's task events, which are quick and may be lost, and a listing, which is slow and true. What either
says is only "look at this pod"; the worker always asks the runtime itself, so a false alarm costs a look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from apimachinery.kit.clock import Clock
from apimachinery.meta.times import format_duration
from nodeagent.cri import messages as cri
from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import ContainerNotFound, RuntimeCallError
from nodeagent.cri.events import TaskEvent, task_events
from nodeagent.kubelet import observed
from nodeagent.kubelet.runtime import labels
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.state import NOT_READY, READY, State

log = logging.getLogger(__name__)

# With events the listing is a safety net; without them it is all there is (upstream's genericPlegRelistPeriod).
SLOW, FAST = 10.0, 1.0
# Older than this, the node is not healthy (genericPlegRelistThreshold).
THRESHOLD = 180.0
# The runtime's CRI side learns of an exit some 100 ms after its event.
_SETTLE = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 1.0)
# Between the start of a container and the look at it that follows.
_MOMENT = 0.05
# Who kills a pod's sandbox kills its containers before it (StopPodSandbox): upstream, which lists once a second, mostly
# sees both at once. Seen alone, a killed container would be started again in a sandbox that is about to go, which it
# does some 40 ms later.
_KILLED, _AFTERMATH = 137, 0.08
# Ends that are waited for at a time; of more, listings tell.
SETTLING_MOST = 256

_CONTAINER = {
    cri.CONTAINER_CREATED: "Created",
    cri.CONTAINER_RUNNING: "Running",
    cri.CONTAINER_EXITED: "Exited",
    cri.CONTAINER_UNKNOWN: "Unknown",
}


class Pleg:
    """Watches the runtime. changed: called with the uid of each pod that is to be looked at.

    looks: whether a pod's worker would look when it is told so. The end of a pod that is being ended is waited for by
    the call that ends it: who asks for it beside that only gives the runtime more to do.
    """

    def __init__(
        self,
        channel: Channel,
        runtime: RuntimeService,
        observer: Observer,
        changed: Callable[[str], None],
        clock: Clock,
        looks: Callable[[str], bool] = lambda _uid: True,
    ) -> None:
        self._channel, self._runtime, self._observer = channel, runtime, observer
        self._changed, self._clock, self._looks = changed, clock, looks
        self._listening = False
        self._deaf = False
        self._last: float | None = None
        self._kick = asyncio.Event()
        self._settling: set[asyncio.Task[None]] = set()
        self._strangers: set[str] = set()
        self._asking: asyncio.Task[None] | None = None
        self._listing: asyncio.Task[None] | None = None
        # Something may have happened that neither an event nor the last listing told of.
        self._unsure = False

    def unhealthy(self) -> str | None:
        """Why the node's picture of its pods is stale; None when it is not."""
        if self._last is None:
            return "pleg has yet to be successful"
        age = self._clock.monotonic() - self._last
        if age > THRESHOLD:
            return f"pleg was last seen active {format_duration(age)} ago; threshold is {format_duration(THRESHOLD)}"
        return None

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relist_forever())
            tasks.create_task(self._listen_forever())

    async def relist(self) -> None:
        """List everything once and tell what changed. Raises RuntimeCallError."""
        began, before = self._clock.monotonic(), dict(self._observer.seen)
        sandboxes, containers = await asyncio.gather(
            self._runtime.list_pod_sandboxes(), self._runtime.list_containers()
        )
        found: dict[str, dict[str, str]] = {}
        for sandbox in sandboxes:
            uid = sandbox.labels.get(labels.POD_UID)
            if uid:
                state = READY if sandbox.state == cri.SANDBOX_READY else NOT_READY
                found.setdefault(uid, {})[sandbox.id] = state
        for container in containers:
            uid = container.labels.get(labels.POD_UID)
            if uid:
                found.setdefault(uid, {})[container.id] = _CONTAINER.get(container.state, "Unknown")
        now = self._clock.monotonic()
        since = None if self._last is None else now - self._last
        observed.relisted(now - began, since, self._clock.now().timestamp())
        self._last = now
        for uid in found.keys() | before.keys():
            # What a worker looked at meanwhile is newer than this listing.
            if self._observer.seen.get(uid) is before.get(uid) and self._observer.learn(uid, found.get(uid, {})):
                self._changed(uid)

    async def _relist_forever(self) -> None:
        while True:
            self._kick.clear()
            try:
                await self.relist()
            except RuntimeCallError as error:
                log.error("GenericPLEG: Unable to retrieve pods: %s", error)
                self._unsure = True
            period = FAST if self._unsure or not self._listening else SLOW
            self._unsure = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._kick.wait()

    async def _listen_forever(self) -> None:
        while not self._deaf:
            try:
                # What ends before the runtime has taken the subscription is told of to nobody.
                self._listening = self._unsure = True
                async for event in task_events(self._channel):
                    self.heard(event)
            except RuntimeCallError as error:
                if error.code == "UNIMPLEMENTED":
                    log.info("The runtime has no task events; listing every second")
                    self._deaf = True
            finally:
                self._listening = False
                self._kick.set()
            await self._clock.sleep(0.5)

    def heard(self, event: TaskEvent) -> None:
        """Look into what an event tells, soon."""
        if event.kind != "exit" or not event.of_init:
            return
        if event.container_id in self._observer.owners:
            self._look_into(event.container_id)
            return
        self._strangers.add(event.container_id)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_who())

    def _look_into(self, identity: str) -> None:
        if not self._looks(self._observer.owners[identity]):
            return
        if len(self._settling) >= SETTLING_MOST:
            self._unsure = True
            self._kick.set()
            return
        task = asyncio.create_task(self._settle(identity))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _ask_who(self) -> None:
        """Whose nobody knows yet is known in a moment; if not, only a listing tells, one for all of them."""
        await self._clock.sleep(_MOMENT)
        ended, self._strangers = self._strangers, set()
        known = {identity for identity in ended if identity in self._observer.owners}
        for identity in known:
            self._look_into(identity)
        if known != ended and (self._listing is None or self._listing.done()):
            self._listing = asyncio.create_task(self._list_soon())

    async def _list_soon(self) -> None:
        await self._clock.sleep(FAST)
        self._kick.set()

    async def _settle(self, identity: str) -> None:
        """Wait until the CRI shows the end that the event told of, then tell."""
        try:
            for pause in _SETTLE:
                if self._state(identity) in (State.EXITED.value, NOT_READY):
                    return
                owner = self._observer.owners.get(identity)
                if owner is None or not self._looks(owner):
                    return  # who removed it has looked
                await self._clock.sleep(pause)
                if await self._ended(identity):
                    break
            if self._state(identity) in (State.EXITED.value, NOT_READY):
                return  # whom the end of the sandbox woke has looked
        except RuntimeCallError:
            pass
        uid = self._observer.owners.get(identity)
        if uid is not None:
            self._changed(uid)

    def _state(self, identity: str) -> str:
        uid = self._observer.owners.get(identity, "")
        return self._observer.seen.get(uid, {}).get(identity, "")

    async def _ended(self, identity: str) -> bool:
        if self._state(identity) != READY:
            try:
                status = await self._runtime.container_status(identity)
            except ContainerNotFound:
                pass
            else:
                if status.state == cri.CONTAINER_EXITED and status.exit_code == _KILLED:
                    await self._clock.sleep(_AFTERMATH)
                return status.state == cri.CONTAINER_EXITED
        try:
            return (await self._runtime.pod_sandbox_status(identity)).state != cri.SANDBOX_READY
        except ContainerNotFound:
            return True
