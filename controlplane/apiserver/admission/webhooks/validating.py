"""ValidatingAdmissionWebhook: all webhooks are asked at once, and any may refuse."""

from __future__ import annotations

import asyncio

from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.matching import is_exempt
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.admission.webhooks.dispatch import ask
from controlplane.apiserver.admission.webhooks.hooks import Hooks

_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/round_0_index_"


class ValidatingAdmissionWebhook(Plugin):
    """k8s.io/apiserver/pkg/admission/plugin/webhook/validating."""

    name = "ValidatingAdmissionWebhook"

    def __init__(self, configurations: Lookup, namespaces: Lookup, client: WebhookClient) -> None:
        self._hooks, self._namespaces, self._client = Hooks(configurations), namespaces, client

    async def validate(self, review: Review) -> None:
        if is_exempt(review):
            return
        concerned = [
            (hook, resource)
            for hook in await self._hooks.all(review)
            if (resource := await hook.matches(review, self._namespaces)) is not None
        ]
        if not concerned:
            return
        answers = await asyncio.gather(
            *(
                ask(self._client, hook, review, resource, f"{_FAILED_OPEN}{position}", mutating=False)
                for position, (hook, resource) in enumerate(concerned)
            ),
            return_exceptions=True,
        )
        # Every refusal is logged where it is found; the client is told the first, in the order of the webhooks.
        for answer in answers:
            if isinstance(answer, status.ApiError):
                raise answer
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
