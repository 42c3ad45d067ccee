"""NamespaceExists: no object without its namespace, on update and delete either."""

from __future__ import annotations

from apimachinery.api.catalogue import NAMESPACES
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup


class NamespaceExists(Plugin):
    """plugin/pkg/admission/namespace/exists."""

    name = "NamespaceExists"

    def __init__(self, namespaces: Lookup) -> None:
        self._namespaces = namespaces

    async def validate(self, review: Review) -> None:
        if review.operation == "CONNECT" or not review.call.namespace:
            return
        await self._namespaces.ready(review)
        if await self._namespaces.find("", review.call.namespace) is None:
            raise status.not_found(NAMESPACES, review.call.namespace)
