"""Service account tokens: asked for once, by whoever comes first, and given back when their pod is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import times
from nodeagent.kubelet.volumes.tokens import TokenManager, TokenProblem

POD = {"metadata": {"name": "web", "namespace": "default", "uid": "u1"}, "spec": {}}
SOURCE = {"path": "token", "expirationSeconds": 3607}


class Api:
    """Answers token requests with t1, t2, …; away: with a connection that is refused."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.asked, self.away = clock, 0, False

    async def create_subresource(self, _kind: object, _name: str, _what: str, body: Any, _namespace: str) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise ApiUnreachable("connection refused")
        until = self.clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
        return {"status": {"token": f"t{self.asked}", "expirationTimestamp": times.rfc3339(until)}}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api(clock: ManualClock) -> Any:
    return Api(clock)


async def test_who_looks_ahead_asks_for_whoever_comes_after(api: Any, clock: ManualClock) -> None:
    tokens = TokenManager(api, clock)
    tokens.look_ahead(POD, SOURCE)
    tokens.look_ahead(POD, SOURCE)
    assert [await tokens.token(POD, SOURCE), await tokens.token(POD, SOURCE)] == ["t1", "t1"]
    tokens.look_ahead(POD, SOURCE)
    assert await tokens.token(POD, {**SOURCE, "audience": "vault"}) == "t2", "of another audience it is another"
    assert api.asked == 2


async def test_a_look_ahead_that_fails_hides_nothing(api: Any, clock: ManualClock) -> None:
    tokens = TokenManager(api, clock)
    api.away = True
    tokens.look_ahead(POD, SOURCE)
    with pytest.raises(TokenProblem, match=r"^failed to fetch token: connection refused$"):
        await tokens.token(POD, SOURCE)
    assert api.asked == 1, "the same question"
    api.away = False
    assert await tokens.token(POD, SOURCE) == "t2"


async def test_the_old_token_is_served_while_there_is_no_new_one(api: Any, clock: ManualClock) -> None:
    tokens = TokenManager(api, clock)
    assert await tokens.token(POD, SOURCE) == "t1"
    await clock.advance(0.8 * 3607 + 1)
    api.away = True
    assert await tokens.token(POD, SOURCE) == "t1"
    await clock.advance(0.2 * 3607)
    with pytest.raises(TokenProblem) as expired:
        await tokens.token(POD, SOURCE)
    bound = 'v1.BoundObjectReference{Kind:"Pod", APIVersion:"v1", Name:"web", UID:"u1"}'
    whose = f'"default"/"default"/[]string(nil)/3607/{bound}'
    assert str(expired.value) == f"token {whose} expired and refresh failed: connection refused"
    api.away = False
    assert await tokens.token(POD, SOURCE) == "t4"


async def test_a_pod_that_goes_while_its_token_is_asked_for_leaves_none(api: Any, clock: ManualClock) -> None:
    tokens = TokenManager(api, clock)
    before = asyncio.all_tasks()
    tokens.look_ahead(POD, SOURCE)
    tokens.forget("u1")
    await asyncio.wait(asyncio.all_tasks() - before, timeout=60)
    assert api.asked == 0
    assert await tokens.token(POD, SOURCE) == "t1"
