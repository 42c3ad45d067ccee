"""NamespaceAutoProvision: who creates something in a namespace that is not there creates the namespace."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.authn.user import MASTERS, User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.create import create

_SELF = User("system:apiserver", groups=(MASTERS,))


class NamespaceAutoProvision(Plugin):
    """plugin/pkg/admission/namespace/autoprovision. collection: of Namespaces; they are created by the server itself,
    through all of admission, and the user needs no right to."""

    name = "NamespaceAutoProvision"

    def __init__(self, namespaces: Lookup, collection: Callable[[], Collection]) -> None:
        self._namespaces, self._collection = namespaces, collection

    async def mutate(self, review: Review) -> None:
        name = review.call.namespace
        if review.operation != "CREATE" or review.call.dry_run or not name:
            return
        await self._namespaces.ready(review)
        if await self._namespaces.find("", name) is not None:
            return
        collection = self._collection()
        call = Call(_SELF, collection.resource, "create", "", "", _allowed, user_agent="kube-apiserver")
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        try:
            await create(collection, call, document)
        except status.ApiError as error:
            if status.is_forbidden(error):
                raise
            if not status.is_already_exists(error):
                raise review.forbidden(error.message) from None


async def _allowed(attributes: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""
