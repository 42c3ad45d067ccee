"""MutatingAdmissionWebhook: one webhook after the other changes the object."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson
from msgspec import Struct, field

from apimachinery.api.catalogue import SECRETS, Resource
from apimachinery.meta import status
from apimachinery.meta.patches import PatchError, json_patch
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.matching import is_exempt
from controlplane.apiserver.admission.versions import adopt, present
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.admission.webhooks.dispatch import ask
from controlplane.apiserver.admission.webhooks.hooks import Hook, Hooks
from controlplane.apiserver.admission.webhooks.told import describe_patch
from controlplane.apiserver.admission.webhooks.verdict import operations

Object = dict[str, Any]

_MUTATION = "mutation.webhook.admission.k8s.io/"
_PATCH = "patch.webhook.admission.k8s.io/"


class _Memory(Struct):
    """Of one request: the object as we left it, who was asked and wants to be asked again, and who is to be."""

    left: Object | None = None
    asked: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)

    def changed(self) -> None:
        self.again |= self.asked
        self.asked.clear()


class MutatingAdmissionWebhook(Plugin):
    """k8s.io/apiserver/pkg/admission/plugin/webhook/mutating."""

    name = "MutatingAdmissionWebhook"

    def __init__(self, configurations: Lookup, namespaces: Lookup, client: WebhookClient) -> None:
        self._hooks, self._namespaces, self._client = Hooks(configurations), namespaces, client

    async def mutate(self, review: Review) -> None:
        if is_exempt(review):
            return
        hooks = await self._hooks.all(review)
        if not hooks:
            return
        memory: _Memory = review.reinvocation.memory.setdefault(self.name, _Memory())
        second = review.reinvocation.running
        if second and memory.left != review.new:
            memory.changed()  # other plug-ins changed it after us
        invoked = False
        for position, hook in enumerate(hooks):
            resource = await hook.matches(review, self._namespaces)
            if resource is None or (second and hook.uid not in memory.again):
                continue
            invoked = True
            if await self._ask(hook, review, resource, f"round_{int(second)}_index_{position}"):
                memory.changed()
                review.reinvocation.asked = True
            if hook.again:
                memory.asked.add(hook.uid)
        if invoked:
            memory.left = deepcopy(review.new)

    async def _ask(self, hook: Hook, review: Review, resource: Resource, key: str) -> bool:
        """Whether the webhook changed the object, which is noted also when the request is refused."""
        who: Object = {"configuration": hook.configuration, "webhook": hook.name}
        changed = False
        try:
            found = await ask(self._client, hook, review, resource, f"failed-open.{_MUTATION}{key}", mutating=True)
            patch = operations(found.patch) if found is not None else []
            if patch:
                changed = self._patch(hook, review, resource, patch)
                if changed:
                    secret = review.resource is SECRETS
                    review.tell(*describe_patch(patch, secret=secret), by=f'webhook "{hook.name}"')
                patched = {**who, "patch": patch, "patchType": "JSONPatch"}
                review.call.annotate(_PATCH + key, orjson.dumps(patched).decode())
        finally:
            review.call.annotate(_MUTATION + key, orjson.dumps({**who, "mutated": changed}).decode())
        return changed

    def _patch(self, hook: Hook, review: Review, resource: Resource, patch: list[Any]) -> bool:
        current, _ = present(review, resource)
        if current is None:
            raise status.internal(
                f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for this '
                "operation"
            )
        try:
            changed = json_patch(deepcopy(current), patch)
        except PatchError as error:
            raise status.internal(str(error)) from None
        if not isinstance(changed, dict):
            raise status.internal(f'admission webhook "{hook.name}" left no object behind')
        return adopt(review, resource, changed)
