"""The order of admission, and what happens when a plug-in fails."""

import pytest

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.kit.metrics import REGISTRY
from apimachinery.kit.trace import Trace, use
from apimachinery.meta import status
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Chain, Plugin
from tests.unit.controlplane.apiserver.admission.conftest import MUTATING
from tests.unit.controlplane.apiserver.admission.reviews import pod, review


class Noting(Plugin):
    def __init__(self, name, said):
        self.name, self._said = name, said

    async def mutate(self, review):
        self._said.append(f"{self.name} mutates")

    async def validate(self, review):
        self._said.append(f"{self.name} validates")


class OfPods(Noting):
    about = frozenset({("", "pods")})


async def test_plugins_act_in_order():
    said = []
    chain = Chain([Noting("one", said), Noting("two", said)])
    await chain.mutate(review(pod()))
    await chain.validate(review(pod()))
    assert said == ["one mutates", "two mutates", "one validates", "two validates"]


async def test_a_plugin_is_asked_only_about_its_kinds():
    said = []
    chain = Chain([OfPods("pods", said)])
    await chain.mutate(review({"metadata": {"name": "m"}}, resource=CONFIGMAPS))
    assert said == []
    await chain.mutate(review(pod()))
    assert said == ["pods mutates"]


async def test_a_webhooks_change_has_everybody_asked_again_once():
    said = []

    class Changing(Noting):
        async def mutate(self, review):
            await super().mutate(review)
            review.reinvocation.asked = True

    await Chain([Noting("first", said), Changing("hook", said)]).mutate(review(pod()))
    assert said == ["first mutates", "hook mutates"] * 2


@pytest.mark.parametrize("way", ["mutate", "validate"])
async def test_a_plugin_that_raises_refuses(way, caplog):
    class Broken(Plugin):
        name = "Broken"

    async def fail(self, review):
        raise KeyError("spec")

    setattr(Broken, way, fail)
    with pytest.raises(ApiError) as refused:
        await getattr(Chain([Broken()]), way)(review(pod()))
    assert (refused.value.code, refused.value.reason) == (500, "InternalError")
    assert refused.value.message == "This request caused apiserver to panic. Look in the logs for details."
    assert "admission plug-in Broken failed" in caplog.text


async def test_a_refusal_passes_as_it_is():
    class Refusing(Plugin):
        name = "Refusing"

        async def validate(self, review):
            raise status.too_many_requests("later", 3)

    with pytest.raises(ApiError, match="later"):
        await Chain([Refusing()]).validate(review(pod()))


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [({"name": "p"}, '"p"'), ({"generateName": "p-"}, '"p-"'), ({}, '"Unknown"')],
    ids=["name", "generateName", "neither"],
)
def test_a_refusal_names_the_object(metadata, shown):
    error = review({"metadata": metadata, "spec": {}}).forbidden("no")
    assert error.message == f"pods {shown} is forbidden: no"


async def test_what_plugins_say_and_refuse_is_noted():
    class Adding(Plugin):
        name = "Adding"

        async def mutate(self, review):
            review.tell("spec.priority: 0", "+spec.volumes[x]")

        async def validate(self, review):
            raise review.forbidden("too much")

    trace = Trace("kube-apiserver")
    use(trace)
    chain, asked = Chain([Noting("first", []), Adding(), Noting("last", [])]), review(pod())
    await chain.mutate(asked)
    with pytest.raises(ApiError):
        await chain.validate(asked)
    use(None)
    mutating, validating = (entry[-1] for entry in trace.document()["entries"])
    assert mutating["changes"] == [("Adding", "spec.priority: 0"), ("Adding", "+spec.volumes[x]")]
    assert "refused" not in mutating and "changes" not in validating
    assert (validating["by"], validating["refused"]) == ("Adding", 'pods "p" is forbidden: too much')


async def test_what_is_told_is_bounded():
    asked = review(pod())
    asked.tell(*("x" * 10_000 for _ in range(1000)))
    asked.tell("more")
    assert len(asked.told) == 64 and {len(change) for _, change in asked.told} == {200}


def test_the_plugins_whose_words_are_checked():
    assert {"ServiceAccount", "Priority", "LimitRanger", "RuntimeClass"} < {each.name for each in MUTATING}


async def test_each_plugin_and_each_step_is_timed():
    class Refusing(Plugin):
        name = "Refusing"

        async def validate(self, review):
            raise review.forbidden("no")

    def told(which, **labels):
        name = f"apiserver_admission_{which}_admission_duration_seconds"
        of = {"operation": "CREATE", **labels}
        count = REGISTRY.get_sample_value(f"{name}_count", of) or 0
        assert count == (REGISTRY.get_sample_value(f"{name}_bucket", {**of, "le": "+Inf"}) or 0)
        return count

    watched = [
        ("controller", {"name": "Timed", "type": "admit", "rejected": "false"}),
        ("controller", {"name": "Timed", "type": "validate", "rejected": "false"}),
        ("controller", {"name": "Refusing", "type": "validate", "rejected": "true"}),
        ("step", {"type": "admit", "rejected": "false"}),
        ("step", {"type": "validate", "rejected": "true"}),
    ]
    before = [told(which, **labels) for which, labels in watched]
    chain = Chain([Noting("Timed", []), Refusing()])
    await chain.mutate(review(pod()))
    with pytest.raises(ApiError):
        await chain.validate(review(pod()))
    after = [told(which, **labels) for which, labels in watched]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1] * 5
