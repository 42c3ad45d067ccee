"""LimitRanger: what it fills in and what it refuses, in upstream's sentences."""

import pytest

from apimachinery.api.catalogue import LIMITRANGES, PERSISTENTVOLUMECLAIMS
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.limit_ranger import ANNOTATION, LimitRanger, check_claim, check_pod, set_defaults
from tests.unit.controlplane.apiserver.admission.reviews import lookup, pod, put, review


def limit_range(**item):
    return {"metadata": {"name": "l", "namespace": "a"}, "spec": {"limits": [item]}}


def with_resources(requests=None, limits=None, name="c"):
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": name, "resources": resources}


def test_defaults_are_filled_in_and_noted():
    obj = pod(
        containers=[{"name": "c"}, with_resources({"cpu": "1"}, {"cpu": "1", "memory": "1Gi"}, "said")],
        initContainers=[{"name": "i"}],
    )
    set_defaults(
        limit_range(type="Container", default={"memory": "512Mi", "cpu": "500m"}, defaultRequest={"cpu": "250m"}), obj
    )
    assert obj["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "512Mi", "cpu": "500m"},
        "requests": {"cpu": "250m"},
    }
    assert obj["spec"]["containers"][1] == with_resources({"cpu": "1"}, {"cpu": "1", "memory": "1Gi"}, "said")
    assert obj["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c; "
        "cpu request for init container i; cpu, memory limit for init container i"
    )


SMALL, LARGE = {"cpu": "50m"}, {"cpu": "3"}


@pytest.mark.parametrize(
    ("item", "container", "sentences"),
    [
        ({"min": {"cpu": "100m"}}, {}, ["minimum cpu usage per Container is 100m.  No request is specified"]),
        ({"min": {"cpu": "100m"}}, (SMALL,), ["minimum cpu usage per Container is 100m, but request is 50m"]),
        ({"min": {"cpu": "0.1"}}, (LARGE, SMALL), ["minimum cpu usage per Container is 100m, but limit is 50m"]),
        ({"max": {"cpu": "2"}}, (SMALL,), ["maximum cpu usage per Container is 2.  No limit is specified"]),
        ({"max": {"cpu": "2"}}, (SMALL, LARGE), ["maximum cpu usage per Container is 2, but limit is 3"]),
        ({"max": {"cpu": "2"}}, (LARGE, SMALL), ["maximum cpu usage per Container is 2, but request is 3"]),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            (SMALL, LARGE),
            ["cpu max limit to request ratio per Container is 2, but provided ratio is 60.000000"],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            (None, LARGE),
            ["cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            (LARGE,),
            ["cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"],
        ),
        ({"min": {"cpu": "10m"}, "max": {"cpu": "4"}, "maxLimitRequestRatio": {"cpu": "60"}}, (SMALL, LARGE), []),
    ],
    ids=["no request", "request low", "limit low", "no limit", "limit high", "request high", "ratio", "ratio request",
         "ratio limit", "fine"],
)  # fmt: skip
def test_containers(item, container, sentences):
    obj = pod(containers=[with_resources(*container) if container else {"name": "c"}])
    assert list(check_pod(limit_range(type="Container", **item), obj)) == sentences


def test_a_pod_is_the_sum_of_its_containers():
    two = [with_resources({"memory": "1Gi"}, {"memory": "1Gi"}, name) for name in ("a", "b")]
    first = [with_resources({"memory": "3Gi"}, {"memory": "3Gi"}, "i")]
    limits = limit_range(type="Pod", max={"memory": "2Gi"})
    assert list(check_pod(limits, pod(containers=two))) == []
    assert list(check_pod(limits, pod(containers=two, initContainers=first))) == [
        "maximum memory usage per Pod is 2Gi, but limit is 3Gi"
    ]


def test_claims():
    limits = limit_range(type="PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"})
    claim = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    assert list(check_claim(limits, claim)) == [
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    ]
    assert list(check_claim(limits, {"spec": {}})) == [
        "minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified",
        "maximum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified",
    ]


async def test_the_plugin_asks_the_namespaces_own_ranges(storage):
    await put(storage, LIMITRANGES, limit_range(type="Container", min={"cpu": "1", "memory": "1Mi"}))
    async with lookup(storage, LIMITRANGES) as limits:
        plugin = LimitRanger(limits)
        with pytest.raises(ApiError) as refused:
            await plugin.validate(review(pod()))
        assert refused.value.message == (
            'pods "p" is forbidden: [minimum cpu usage per Container is 1.  No request is specified, '
            "minimum memory usage per Container is 1Mi.  No request is specified]"
        )
        await plugin.validate(review(pod(), namespace="b"))
        await plugin.validate(review(pod(), operation="UPDATE", old=pod()))
        await plugin.validate(review(pod(), operation="DELETE", old=pod()))
        claim = {"metadata": {"name": "c"}, "spec": {}}
        await plugin.validate(review(claim, resource=PERSISTENTVOLUMECLAIMS))
