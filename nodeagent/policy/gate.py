"""Holds a pod's network back until its policies are in the kernel: where the CNI agent's threads meet the enforcer.

The API asks that a pod is isolated before its containers start (NetworkPolicy, "Pod lifecycle"). As with OVN-Kubernetes
and Cilium, the answer to CNI ADD waits for the rules, and is a refusal when they do not come: the kubelet tries again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time

from .enforcer import Enforcer

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds for the rules of one pod; the plugins wait for the agent up to a minute
FIRST = 10.0  # seconds from the start of the process, in which the API has to tell of policies


class Gate:
    """`admit` blocks a thread, `serve` runs in the event loop; they may begin in either order."""

    def __init__(self, patience: float = PATIENCE, first: float = FIRST) -> None:
        self._patience = patience
        self._first = time.monotonic() + first
        self._lock = threading.Lock()
        self._served = threading.Event()
        self._enforcer: Enforcer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._waiting: set[concurrent.futures.Future[str]] = set()

    async def serve(self, enforcer: Enforcer) -> None:
        """Run the enforcer until cancelled; then nobody waits any longer, and everybody is refused."""
        self._enforcer, self._loop = enforcer, asyncio.get_running_loop()
        self._served.set()
        try:
            await enforcer.run()
        finally:
            with self._lock:
                self._closed = True
                waiting = list(self._waiting)
            for one in waiting:
                one.cancel()

    def admit(self, key: str, uid: str, ips: tuple[str, ...]) -> str:
        """Return when the pod `key` ("namespace/name") may start with these addresses: "", or else why it must not.

        While the API has never told of policies, a pod starts without: nodes come up before the API does."""
        if not self._served.wait(max(0.0, self._first - time.monotonic())):
            log.warning("%s starts before NetworkPolicies are enforced", key)
            return ""
        with self._lock:
            if self._closed:
                return "NetworkPolicies are not enforced: kube-proxy is stopping"
            assert self._loop is not None
            answer = asyncio.run_coroutine_threadsafe(self._isolated(key, uid, ips), self._loop)
            self._waiting.add(answer)
        try:
            return answer.result()
        except concurrent.futures.CancelledError:
            return "NetworkPolicies are not enforced: kube-proxy is stopping"
        finally:
            with self._lock:
                self._waiting.discard(answer)

    async def _isolated(self, key: str, uid: str, ips: tuple[str, ...]) -> str:
        assert self._enforcer is not None
        try:
            async with asyncio.timeout(max(0.0, self._first - time.monotonic())):
                await self._enforcer.wait_told()
        except TimeoutError:
            if not self._enforcer.told:
                log.warning("%s starts without NetworkPolicies: the API has not told of any yet", key)
                return ""
        try:
            async with asyncio.timeout(self._patience):
                await self._enforcer.isolate(key, uid, ips)
        except TimeoutError:
            return f"the NetworkPolicies of {key} are not programmed after {self._patience:g} s"
        except Exception as error:
            log.warning("%s: %s", key, error)
            return f"the NetworkPolicies of {key} are not programmed: {error}"
        return ""
