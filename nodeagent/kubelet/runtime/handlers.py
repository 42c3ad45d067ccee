"""What the runtime's handlers can, as they say themselves (the CRI's RuntimeHandlerFeatures): containerd since 2.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet.pods import Pod

from .classes import NoSuchClass, RuntimeClasses


class Handlers:
    """Asks the runtime, and remembers what it said last: a status is told without asking.

    features: of the runtime as a whole, None while it says nothing.
    """

    def __init__(self, runtime: RuntimeService, classes: RuntimeClasses) -> None:
        self._runtime, self._classes = runtime, classes
        self._known: Mapping[str, cri.RuntimeHandlerFeatures] = {}
        self.features: cri.RuntimeFeatures | None = None

    def learn(self, status: cri.StatusResponse) -> None:
        self._known = {each.name: each.features for each in status.runtime_handlers}
        self.features = status.features if status.HasField("features") else None

    async def can_mount_recursively(self, pod: Pod) -> bool:
        """Whether read-only mounts of the pod can be so all the way down (KEP-3857). Raises RuntimeCallError."""
        try:
            await self._classes.handler(pod)
        except NoSuchClass:
            return False
        self.learn(await self._runtime.whole_status())
        return self.mounts_recursively(pod)

    def mounts_recursively(self, pod: Pod) -> bool:
        """The same, as it was last known."""
        features = self._known.get(self._classes.known(pod))
        return features is not None and features.recursive_read_only_mounts

    def render(self) -> list[dict[str, Any]]:
        """The Node's `runtimeHandlers`; the default one has no name. Sorted: containerd has no order of its own."""
        return [
            {
                "name": name,
                "features": {
                    "recursiveReadOnlyMounts": features.recursive_read_only_mounts,
                    "userNamespaces": features.user_namespaces,
                },
            }
            for name, features in sorted(self._known.items())
        ]
