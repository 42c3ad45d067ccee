"""The authorizers of --authorization-config: what webhooks say, and a file that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from apimachinery.kit.clock import SystemClock
from apimachinery.kit.config import ConfigError
from apimachinery.kit.metrics import REGISTRY
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision, EvaluationError
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.authz.configuration import parse
from controlplane.apiserver.authz.union import AlwaysAllow, AlwaysDeny
from controlplane.apiserver.reloads import server_identity

ASKED = Attributes(User("jane"), "list", "", "v1", "pods", "", "default")
MAKERS = {"AlwaysAllow": AlwaysAllow, "AlwaysDeny": AlwaysDeny, "RBAC": AlwaysDeny}


class Hook:
    """A real webhook that answers with `code` and `status`, after `held`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.code, self.status, self.asked = 200, {"allowed": True}, list[Any]()
        self.held = asyncio.Event()
        self.held.set()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        review = orjson.loads(await request.read())
        self.asked.append(review)
        await self.held.wait()
        return web.json_response({**review, "status": self.status}, status=self.code)

    def written(self, *names: str, after: str = "AlwaysDeny", **more: Any) -> bytes:
        webhook = {
            "timeout": "10s",
            "subjectAccessReviewVersion": "v1",
            "matchConditionSubjectAccessReviewVersion": "v1",
            "failurePolicy": "NoOpinion",
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(self.directory / "kubeconfig")},
            **more,
        }
        authorizers: list[Any] = [{"type": "Webhook", "name": name, "webhook": webhook} for name in names]
        authorizers.append({"type": after, "name": after.lower()})
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
        return orjson.dumps({**head, "authorizers": authorizers})

    def chain(self, *names: str, **more: Any) -> Chain:
        return Chain(parse(self.written(*names, **more)), MAKERS, SystemClock())


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    made = Hook(tmp_path)
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    cluster = {"name": "a", "cluster": {"server": f"http://{host}:{port}/review"}}
    context = {"name": "a", "context": {"cluster": "a"}}
    document = {"clusters": [cluster], "contexts": [context], "current-context": "a"}
    (tmp_path / "kubeconfig").write_bytes(orjson.dumps(document))
    yield made
    await runner.cleanup()


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"apiserver_authorization_{metric}", labels) or 0.0


async def test_decisions_are_counted_by_who_made_them(hook: Hook) -> None:
    chain = hook.chain("first", "second")
    assert [each.type for each in chain.union.authorizers] == ["Webhook", "Webhook", "AlwaysDeny"]
    assert await chain.union.evaluate(ASKED) == (Decision.ALLOW, "")
    assert counted("decisions_total", type="Webhook", name="first", decision="allowed") == 1
    assert counted("webhook_evaluations_total", name="first", result="success") == 1
    assert counted("webhook_duration_seconds_count", name="first", result="success") == 1
    await chain.close()
    hook.status = {"allowed": False, "denied": True, "reason": "who knows"}
    chain = hook.chain("first", "second")
    assert (await chain.union.evaluate(ASKED))[0] is Decision.DENY
    assert counted("decisions_total", type="Webhook", name="first", decision="denied") == 1
    await chain.close()
    hook.status = {"allowed": False, "reason": "who knows"}
    chain = hook.chain("first", "second")
    told = "who knows\nwho knows\nEverything is forbidden."
    assert await chain.union.evaluate(ASKED) == (Decision.NO_OPINION, told)
    await chain.close()


async def test_a_webhook_that_is_not_concerned_is_not_asked(hook: Hook) -> None:
    condition = {"expression": "request.resourceAttributes.namespace != 'default'"}
    chain = hook.chain("excluded", matchConditions=[condition])
    assert (await chain.union.evaluate(ASKED))[0] is Decision.NO_OPINION and not hook.asked
    await chain.close()


@pytest.mark.parametrize(("policy", "denied"), [("NoOpinion", False), ("Deny", True)])
async def test_what_fails_follows_the_policy(hook: Hook, policy: str, denied: bool) -> None:
    hook.code = 403
    name = f"fails-{policy.lower()}"
    chain = hook.chain(name, after="AlwaysAllow", failurePolicy=policy)
    broken = {"expression": "request.nonResourceAttributes.path == '/'"}
    unsure = hook.chain(name, after="AlwaysAllow", failurePolicy=policy, matchConditions=[broken])
    for each in (chain, unsure):
        if denied:
            with pytest.raises(EvaluationError) as told:
                await each.union.evaluate(ASKED)
            assert told.value.denied
        else:
            assert await each.union.evaluate(ASKED) == (Decision.ALLOW, "")
        await each.close()
    assert counted("decisions_total", type="Webhook", name=name, decision="denied") == (2 if denied else 0)
    assert counted("webhook_evaluations_total", name=name, result="error") == 1
    open_ = counted("webhook_evaluations_fail_open_total", name=name, result="error")
    assert open_ == (0 if denied else 1)
    assert len(hook.asked) == 1, "nobody is asked whom conditions may leave out"


async def test_a_webhook_that_does_not_answer(hook: Hook) -> None:
    hook.held.clear()
    chain = hook.chain("slow", after="AlwaysAllow", timeout="50ms")
    assert await chain.union.evaluate(ASKED) == (Decision.ALLOW, "")
    assert counted("webhook_evaluations_total", name="slow", result="timeout") == 1
    hook.held.set()
    await chain.close()


async def test_a_file_that_changes(hook: Hook, tmp_path: Path) -> None:
    def reloads(status: str) -> float:
        labels = {"status": status, "apiserver_id_hash": server_identity()}
        return counted("config_controller_automatic_reloads_total", **labels)

    file, text = tmp_path / "authorization", hook.written("reloaded")
    chain = Chain(parse(text), MAKERS, SystemClock())
    good, bad = reloads("success"), reloads("failure")
    assert await chain.look(file, text) == text, "the file is not there"
    assert reloads("failure") == bad + 1
    file.write_bytes(text)
    assert await chain.look(file, text) == text
    file.write_bytes(text + b"\n")
    text = await chain.look(file, text)
    assert text.endswith(b"\n") and (reloads("success"), reloads("failure")) == (good, bad + 1), "nothing is new"
    for wrong in (b"{}", hook.written("a", after="AlwaysAllow"), hook.written("a", after="RBAC")):
        file.write_bytes(wrong)
        text = await chain.look(file, text)
    assert (reloads("success"), reloads("failure")) == (good, bad + 4)
    assert await chain.union.evaluate(ASKED) == (Decision.ALLOW, ""), "as before"
    changed = hook.written("other", unauthorizedTTL="1s")
    file.write_bytes(changed)
    assert await chain.look(file, text) == changed and reloads("success") == good + 1
    assert [each.name for each in chain.union.authorizers] == ["other", "alwaysdeny"]
    await chain.close()


async def test_who_is_being_asked_may_finish(hook: Hook, tmp_path: Path) -> None:
    file, text = tmp_path / "authorization", hook.written("old")
    chain = Chain(parse(text), MAKERS, SystemClock())
    hook.held.clear()
    asking = asyncio.create_task(chain.union.evaluate(ASKED))
    async with asyncio.timeout(60):
        while not hook.asked:
            await asyncio.sleep(0.01)
    file.write_bytes(hook.written())
    await chain.look(file, text)
    assert [each.type for each in chain.union.authorizers] == ["AlwaysDeny"]
    hook.held.set()
    assert await asking == (Decision.ALLOW, "")
    assert (await chain.union.evaluate(ASKED))[0] is Decision.NO_OPINION
    await chain.close()


async def test_a_kubeconfig_that_is_none(hook: Hook, tmp_path: Path) -> None:
    file, text = tmp_path / "authorization", hook.written()
    chain = Chain(parse(text), MAKERS, SystemClock())
    (tmp_path / "kubeconfig").write_text("{}")
    file.write_bytes(hook.written("a"))
    await chain.look(file, text)
    assert len(chain.union.authorizers) == 1 and (await chain.union.evaluate(ASKED))[0] is Decision.NO_OPINION
    with pytest.raises(ConfigError):
        hook.chain("a")
