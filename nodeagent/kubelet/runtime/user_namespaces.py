"""User namespaces of pods (`hostUsers: false`, KEP-127; pkg/kubelet/userns): which users of the node stand for a pod's.

Every such pod gets 65536 ids of the node that no other pod has; which ones is written down in its folder, for the next
agent. containerd says since 2.0 whether a handler can do it; who says nothing cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from apimachinery.kit.files import write_atomic
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet import pods
from nodeagent.kubelet.paths import Paths

LENGTH = 65536
# The first are the node's own users.
_FIRST, _LAST = LENGTH, (1 << 32) - LENGTH
_FILE = "userns"


class NoUserNamespace(Exception):
    """The pod cannot have what it asks for; the text is upstream's."""


class UserNamespaces:
    """Gives ids to pods and takes them back. enabled: the gate UserNamespacesSupport; without it no pod may wish."""

    def __init__(self, runtime: RuntimeService, paths: Paths, *, enabled: bool) -> None:
        self._runtime, self._paths, self._enabled = runtime, paths, enabled
        self._taken: dict[str, int] | None = None

    async def ensure(self, pod: Mapping[str, Any], handler: str) -> cri.UserNamespace | None:
        """What a new sandbox is told, None for nothing. Raises NoUserNamespace, RuntimeCallError, OSError."""
        if not self._enabled and pod["spec"].get("hostUsers") is not None:
            raise NoUserNamespace('the feature gate "UserNamespacesSupport" is disabled: can\'t set spec.HostUsers')
        if self._wants(pod):
            await self._check(handler)
            uid = pods.uid(pod)
            taken = self._known()
            if uid not in taken:
                first = _free(set(taken.values()))
                write_atomic(self._paths.pod(uid) / _FILE, _render(first), 0o600)
                taken[uid] = first
        return self.held(pod)

    def held(self, pod: Mapping[str, Any]) -> cri.UserNamespace | None:
        """What the sandbox that there is was told."""
        if not self._enabled:
            return None
        first = self._known().get(pods.uid(pod)) if self._wants(pod) else None
        if first is None:
            return cri.UserNamespace(mode=cri.NODE)
        ids = [cri.IDMapping(host_id=first, container_id=0, length=LENGTH)]
        return cri.UserNamespace(mode=cri.POD, uids=ids, gids=ids)

    def release(self, uid: str) -> None:
        """The pod is gone, and its folder with it."""
        if self._taken is not None:
            self._taken.pop(uid, None)

    def _wants(self, pod: Mapping[str, Any]) -> bool:
        return self._enabled and pod["spec"].get("hostUsers") is False

    async def _check(self, handler: str) -> None:
        features = (await self._runtime.handlers()).get(handler)
        if features is not None and features.user_namespaces:
            return
        who = f'RuntimeClass handler "{handler}"' if handler else "runtime"
        why = f': the handler "{handler}" is not known' if features is None else ""
        raise NoUserNamespace(f"can't set `spec.hostUsers: false`, {who} does not support user namespaces{why}")

    def _known(self) -> dict[str, int]:
        """Who has which ids, by their first; read from the pods' folders once."""
        if self._taken is None:
            files = self._paths.pods.glob(f"*/{_FILE}")
            self._taken = {file.parent.name: _parse(file.read_text()) for file in files}
        return self._taken


def apply_to_sandbox(options: cri.UserNamespace | None, config: cri.PodSandboxConfig) -> None:
    if options is not None:
        config.linux.security_context.namespace_options.userns_options.CopyFrom(options)


def apply(options: cri.UserNamespace, config: cri.ContainerConfig) -> None:
    """Put a container into its pod's user namespace: what it mounts belongs to the same users inside."""
    config.linux.security_context.namespace_options.userns_options.CopyFrom(options)
    if options.mode == cri.POD:
        for mount in config.mounts:
            mount.uidMappings.extend(options.uids)
            mount.gidMappings.extend(options.gids)


def _free(taken: set[int]) -> int:
    """The first id of the lowest range that nobody has. Raises NoUserNamespace."""
    for first in range(_FIRST, _LAST + 1, LENGTH):
        if first not in taken:
            return first
    raise NoUserNamespace("create user namespace: could not find an empty slot to allocate a user namespace")


def _render(first: int) -> str:
    mapping = [{"hostId": first, "containerId": 0, "length": LENGTH}]
    return json.dumps({"uidMappings": mapping, "gidMappings": mapping})


def _parse(text: str) -> int:
    return int(json.loads(text)["uidMappings"][0]["hostId"])
