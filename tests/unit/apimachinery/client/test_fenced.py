"""A client that writes only while its process leads."""

from __future__ import annotations

import pytest

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.client.config import ClientConfig
from apimachinery.client.fenced import FencedClient
from apimachinery.client.rest import ApiUnreachable

NOWHERE = ClientConfig("http://127.0.0.1:1")


@pytest.mark.parametrize(("holds", "sent"), [(True, True), (False, False)])
async def test_a_write_is_sent_only_by_who_holds_the_lease(holds: bool, sent: bool) -> None:
    async with FencedClient(NOWHERE, "test", lambda: holds) as client:
        with pytest.raises(ApiUnreachable) as caught:
            await client.delete(CONFIGMAPS, "a", "default")
        assert ("not sent" not in str(caught.value)) is sent
        with pytest.raises(ApiUnreachable, match="Cannot connect"):
            await client.get(CONFIGMAPS, "a", "default")
