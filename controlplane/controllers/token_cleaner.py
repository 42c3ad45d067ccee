"""Token cleaner: bootstrap tokens are deleted when they expire (pkg/controller/bootstrap/tokencleaner.go)."""

from __future__ import annotations

from apimachinery.api.catalogue import SECRETS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers import bootstrap_tokens
from controlplane.controllers.context import Context

NAME = "token-cleaner-controller"


class TokenCleaner:
    """Reconciles the token Secrets of kube-system by name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        informer = context.informers.get(
            SECRETS, namespace=bootstrap_tokens.NAMESPACE, field_selector=bootstrap_tokens.SELECTOR
        )
        self._secrets = informer.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        informer.add_handler(lambda secret: self._queue.add(objects.name(secret)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Delete the token if its time has come; otherwise come back then."""
        secret = self._secrets.get(key, bootstrap_tokens.NAMESPACE)
        if secret is None:
            return None
        now = self._clock.now()
        ends = bootstrap_tokens.expiration(bootstrap_tokens.data(secret), now)
        if ends is None:
            return None
        if ends > now:
            return (ends - now).total_seconds()
        try:
            await self._client.delete(SECRETS, key, bootstrap_tokens.NAMESPACE, uid=objects.uid(secret))
        except ApiError as error:
            # Somebody made it anew under the same name; that one comes by itself.
            if not is_not_found(error) and not is_conflict(error):
                raise
        return None
