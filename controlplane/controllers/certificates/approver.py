"""Node agents' client certificates are approved for whom RBAC allows it (pkg/controller/certificates/approver)."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS, SUBJECTACCESSREVIEWS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError
from controlplane.controllers.certificates import request as requests
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "certificatesigningrequest-approving-controller"
_FIRST_RETRY = 0.2  # seconds (NewCertificateController)
_SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
_ANY = "Auto approving kubelet client certificate after SubjectAccessReview."


def recognized(csr: Object, request: x509.CertificateSigningRequest) -> list[tuple[str, str]]:
    """What the request may be approved as: (subresource that the asker must be allowed to create, message)."""
    spec = csr["spec"]
    if spec.get("signerName") != requests.KUBELET_CLIENT:
        return []
    try:
        requests.check(requests.KUBELET_CLIENT, request, spec.get("usages") or ())
    except requests.RefusedRequest:
        return []
    renewal = spec.get("username") == requests.common_name(request)
    return [*([("selfnodeclient", _SELF)] if renewal else []), ("nodeclient", _ANY)]


class CertificateApprover:
    """Reconciles requests by name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        informer = context.informer(CERTIFICATESIGNINGREQUESTS)
        self._requests = informer.lister
        self._queue = WorkQueue(context.clock, base=_FIRST_RETRY)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        informer.add_handler(lambda csr: self._queue.add(objects.name(csr)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Approve what may be approved."""
        csr = self._requests.get(key)
        if not requests.unanswered(csr) or requests.condition(csr, "Approved"):
            return None
        tried = []
        for subresource, message in recognized(csr, requests.parse(csr)):
            tried.append(subresource)
            if await self._allowed(csr, subresource):
                approved = requests.with_condition(csr, "Approved", "AutoApproved", message)
                await requests.answer(self._client, approved, "approval")
                return None
        if tried:
            # Tried again, later each time: the right may be granted after the request was made.
            told = f'recognized csr "{key}" as [{" ".join(tried)}] but subject access review was not approved'
            raise ApiError(403, "Forbidden", told)
        return None

    async def _allowed(self, csr: Object, subresource: str) -> bool:
        spec = csr["spec"]
        review = {
            "apiVersion": SUBJECTACCESSREVIEWS.api_version,
            "kind": SUBJECTACCESSREVIEWS.kind,
            "spec": {
                **{new: spec[old] for new, old in _ASKER.items() if spec.get(old)},
                "resourceAttributes": {
                    "group": CERTIFICATESIGNINGREQUESTS.group,
                    "resource": CERTIFICATESIGNINGREQUESTS.plural,
                    "subresource": subresource,
                    "verb": "create",
                },
            },
        }
        answer = await self._client.create(SUBJECTACCESSREVIEWS, review)
        return bool(answer["status"].get("allowed"))


_ASKER = {"user": "username", "uid": "uid", "groups": "groups", "extra": "extra"}
