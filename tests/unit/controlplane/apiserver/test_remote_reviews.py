"""Reviews that a webhook answers: attempts, memory, refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from apimachinery.client.config import ClientConfig
from controlplane.apiserver.authn.remote_reviews import RemoteReviews, ReviewFailed
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authn.webhook import WebhookTokenAuthenticator
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.authz.webhook import render

VERSION, KIND = "authentication.k8s.io/v1", "TokenReview"
GOOD = {"apiVersion": VERSION, "kind": KIND, "status": {"authenticated": True}}


class Hasty:
    """A clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.seconds, self.slept = 0.0, list[float]()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept.append(seconds)


@asynccontextmanager
async def asking(*answers: web.Response) -> AsyncIterator[tuple[RemoteReviews, Hasty, list[bytes]]]:
    """Reviews of a webhook that gives these answers, and what it was asked."""
    asked: list[bytes] = []
    left = iter(answers)

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(await request.read())
        return next(left)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    clock = Hasty()
    host, port = runner.addresses[0][:2]
    reviews = RemoteReviews(ClientConfig(f"http://{host}:{port}/review"), VERSION, KIND, clock)
    yield reviews, clock, asked
    await reviews.close()
    await runner.cleanup()


async def test_what_may_be_otherwise_in_a_moment_is_asked_again() -> None:
    answers = (*(web.Response(status=code) for code in (500, 429, 504)), web.json_response(GOOD))
    async with asking(*answers) as (reviews, clock, asked):
        assert await reviews.ask({"token": "t"}, {}) == {"authenticated": True}
        assert len(asked) == 4 and asked[0] == asked[3]
        assert 0.5 <= clock.slept[0] <= 0.6 and 0.75 <= clock.slept[1] <= 0.9


async def test_five_attempts_and_no_more() -> None:
    async with asking(*(web.Response(status=500) for _ in range(5))) as (reviews, _, asked):
        with pytest.raises(ReviewFailed):
            await reviews.ask({}, {})
        assert len(asked) == 5


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
        {"text": "yes"},
        {"text": "[]"},
        {"text": '{"apiVersion": "authentication.k8s.io/v1beta1", "kind": "TokenReview"}'},
        {"text": '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": true}'},
    ],
)
async def test_an_answer_that_is_none(answer: dict[str, object]) -> None:
    async with asking(web.Response(**answer)) as (reviews, _, asked):
        with pytest.raises(ReviewFailed):
            await reviews.ask({}, {})
        assert len(asked) == 1


async def test_nobody_there() -> None:
    reviews = RemoteReviews(ClientConfig("http://127.0.0.1:1"), VERSION, KIND, Hasty())
    with pytest.raises(
        ReviewFailed, match=r'Post "http://127.0.0.1:1/\?timeout=30s": dial tcp 127.0.0.1:1: connect: conn'
    ):
        await reviews.ask({}, {})
    await reviews.close()


def test_answers_are_remembered_for_a_while_and_not_without_bound() -> None:
    clock = Hasty()
    reviews = RemoteReviews(ClientConfig("http://127.0.0.1:1"), VERSION, KIND, clock)
    reviews.remember(b"a", {"allowed": True}, 5.0)
    assert reviews.remembered(b"a") == {"allowed": True} and reviews.remembered(b"b") is None
    clock.seconds = 5.0
    assert reviews.remembered(b"a") is None
    for number in range(10_000):
        reviews.remember(str(number).encode(), {}, 5.0)
    assert reviews.remembered(b"0") is None and reviews.remembered(b"9999") == {}


def test_an_access_review() -> None:
    user = User("jane", groups=("devs",))
    assert render(Attributes(user, "get", path="/metrics"), "group") == {
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        "user": "jane",
        "group": ["devs"],
    }
    selecting = Attributes(
        user, "list", "", "v1", "pods", field_selector="spec.nodeName=n", label_selector="a!=b,!c,d>3,e in (f,g)"
    )
    assert render(selecting)["resourceAttributes"] == {
        "verb": "list",
        "version": "v1",
        "resource": "pods",
        "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]},
        "labelSelector": {
            "requirements": [
                {"key": "a", "operator": "NotIn", "values": ["b"]},
                {"key": "c", "operator": "DoesNotExist"},
                {"key": "e", "operator": "In", "values": ["f", "g"]},
            ]
        },
    }
    odd = Attributes(user, "list", "", "v1", "pods", field_selector="?", label_selector="a in")
    assert render(odd)["resourceAttributes"] == {"verb": "list", "version": "v1", "resource": "pods"}


def reviewed(**told: object) -> web.Response:
    return web.json_response({"apiVersion": VERSION, "kind": KIND, "status": told})


async def test_of_a_token_only_what_the_webhook_knows_is_remembered() -> None:
    answers = (
        reviewed(error="the directory is away"),
        reviewed(authenticated=True, user={"username": "bob"}),
        reviewed(),
    )
    async with asking(*answers) as (reviews, _, asked):
        webhook = WebhookTokenAuthenticator(reviews, ["api"], 60.0)
        with pytest.raises(TokenError, match="the directory is away"):
            await webhook.authenticate("a")
        for _ in range(2):
            found = await webhook.authenticate("a")
            assert found is not None and found[0].name == "bob"
            assert await webhook.authenticate("b") is None
        assert len(asked) == 3
