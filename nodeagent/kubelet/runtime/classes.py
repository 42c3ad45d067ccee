"""RuntimeClasses: which handler of the runtime a pod is to be run by (pkg/kubelet/runtimeclass)."""

from __future__ import annotations

from apimachinery.api.catalogue import RUNTIMECLASSES
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError, is_not_found
from nodeagent.kubelet.pods import Pod

_LIFE = 60.0


class NoSuchClass(Exception):
    """The pod's RuntimeClass cannot be had; the text is upstream's."""


class RuntimeClasses:
    """Looks classes up in the API. A handler cannot be changed, so what was read holds for a while."""

    def __init__(self, client: Client | None, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._known: dict[str, tuple[float, str]] = {}

    async def handler(self, pod: Pod) -> str:
        """The handler's name, "" for the default one. Raises NoSuchClass."""
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        until, handler = self._known.get(name, (0.0, ""))
        if until > self._clock.monotonic():
            return handler
        if self._client is None:
            raise NoSuchClass(f"failed to lookup RuntimeClass {name}: there is no API server")
        try:
            found = await self._client.get(RUNTIMECLASSES, name)
        except (ApiError, ApiUnreachable) as error:
            if is_not_found(error):
                raise NoSuchClass(f'runtimeclass.node.k8s.io "{name}" not found') from None
            raise NoSuchClass(f"failed to lookup RuntimeClass {name}: {error}") from None
        handler = str(found.get("handler") or "")
        self._known[name] = self._clock.monotonic() + _LIFE, handler
        return handler

    def known(self, pod: Pod) -> str:
        """The handler as it was last looked up, "" while it was not."""
        return self._known.get(pod["spec"].get("runtimeClassName") or "", (0.0, ""))[1]
