"""The runtime's state of pods, always asked afresh, and a memory of what was seen: which id belongs to which pod."""

from __future__ import annotations

from dataclasses import replace

from nodeagent.cri.client import RuntimeService

from .observe import observe_pod, sandbox_state
from .state import NOT_READY, READY, Fingerprint, PodState, State


class Observer:
    """Asks the runtime about single pods, and remembers what it said, so that a listing can tell what is news."""

    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime
        self.owners: dict[str, str] = {}
        self.seen: dict[str, Fingerprint] = {}

    async def observe(self, uid: str) -> PodState:
        """Everything the runtime has of a pod, now. Raises RuntimeCallError."""
        state = await observe_pod(self._runtime, uid, self.seen.get(uid))
        self.learn(uid, fingerprint(state))
        return state

    async def observe_new_sandbox(self, state: PodState, sandbox_id: str) -> PodState:
        """`state` with the sandbox that was just made on top: one call where `observe` takes four."""
        status = await self._runtime.pod_sandbox_status(sandbox_id)
        older = tuple(box for box in state.sandboxes if box.id != sandbox_id)
        fresh = replace(
            state,
            name=status.metadata.name,
            namespace=status.metadata.namespace,
            sandboxes=(sandbox_state(status), *older),
        )
        self.learn(state.uid, fingerprint(fresh))
        return fresh

    def learn_started(self, uid: str, container_id: str) -> None:
        """Note a container that was just started: its end is somebody's, and the next look expects it."""
        self.learn(uid, {**self.seen.get(uid, {}), container_id: State.RUNNING.value})

    def learn(self, uid: str, found: Fingerprint) -> bool:
        """Note what was found of a pod; True when it differs from before."""
        if self.seen.get(uid, {}) == found:
            return False
        for identity in self.seen.get(uid, {}):
            self.owners.pop(identity, None)
        if found:
            self.seen[uid] = found
            self.owners.update(dict.fromkeys(found, uid))
        else:
            self.seen.pop(uid, None)
        return True


def fingerprint(state: PodState) -> Fingerprint:
    found = {sandbox.id: READY if sandbox.ready else NOT_READY for sandbox in state.sandboxes}
    found |= {container.id: container.state.value for container in state.containers}
    return found
