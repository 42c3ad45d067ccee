"""Which volume serves a claim, and who is bound to whom."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.meta import volumes

Object = dict[str, Any]
NODE = {"kubernetes.io/hostname": "n1", "zone": "a"}


def volume(name: str, size: str = "1Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), **spec: Any) -> Object:
    phase = spec.pop("phase", "Available")
    labels = spec.pop("labels", {})
    body = {"capacity": {"storage": size}, "accessModes": list(modes), **spec}
    return {"metadata": {"name": name, "labels": labels}, "spec": body, "status": {"phase": phase}}


def claim(size: str = "1Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), **spec: Any) -> Object:
    body = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "u"}, "spec": body}


def on(key: str, value: str) -> Object:
    term = {"key": key, "operator": "In", "values": [value]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}


FOR_US = {"name": "c", "namespace": "ns"}


@pytest.mark.parametrize(
    ("asked", "offered", "options", "chosen"),
    [
        pytest.param(claim(), [volume("a", "3Gi"), volume("b", "2Gi"), volume("c", "500Mi")], {}, "b", id="smallest"),
        pytest.param(claim(), [volume("b"), volume("a")], {}, "a", id="by-name"),
        pytest.param(
            claim(),
            [volume("a", modes=("ReadWriteOnce", "ReadWriteMany")), volume("b", "9Gi")],
            {},
            "b",
            id="fewest-access-modes-first",
        ),
        pytest.param(claim(modes=("ReadWriteMany",)), [volume("a")], {}, None, id="access-modes"),
        pytest.param(claim(volumeMode="Block"), [volume("a")], {}, None, id="volume-mode"),
        pytest.param(claim(storageClassName="x"), [volume("a")], {}, None, id="class"),
        pytest.param(
            claim(selector={"matchLabels": {"k": "v"}}),
            [volume("a"), volume("b", "2Gi", labels={"k": "v"})],
            {},
            "b",
            id="selector",
        ),
        pytest.param(claim(), [volume("a", phase="Released")], {}, None, id="not-available"),
        pytest.param(claim(), [volume("a", claimRef={"name": "d", "namespace": "ns"})], {}, None, id="anothers"),
        pytest.param(
            claim(), [volume("a"), volume("z", "9Gi", claimRef=FOR_US)], {}, "z", id="set-aside-before-the-smallest"
        ),
        pytest.param(
            claim("2Gi"), [volume("z", "1Gi", claimRef=FOR_US), volume("a", "2Gi")], {}, "a", id="set-aside-too-small"
        ),
        pytest.param(
            claim(modes=("ReadWriteMany",)), [volume("a", claimRef=FOR_US)], {}, None, id="set-aside-for-fewer-nodes"
        ),
        pytest.param(claim(), [volume("a")], {"delayed": True}, None, id="waits-for-its-pod"),
        pytest.param(claim(), [volume("a", claimRef=FOR_US)], {"delayed": True}, "a", id="set-aside-does-not-wait"),
        pytest.param(claim(), [volume("a"), volume("b")], {"excluded": {"a"}}, "b", id="spoken-for"),
        pytest.param(
            claim(),
            [volume("a", nodeAffinity=on("zone", "b")), volume("b", "2Gi", nodeAffinity=on("zone", "a"))],
            {"node": NODE, "delayed": True},
            "b",
            id="near-the-node",
        ),
        pytest.param(
            claim(),
            [volume("a", claimRef=FOR_US, nodeAffinity=on("zone", "b")), volume("b")],
            {"node": NODE, "delayed": True},
            None,
            id="set-aside-elsewhere",
        ),
    ],
)
def test_the_match(asked: Object, offered: list[Object], options: Object, chosen: str | None) -> None:
    found = volumes.find_match(asked, offered, **options)
    assert (found or {"metadata": {"name": None}})["metadata"]["name"] == chosen


def test_what_we_bind_we_say_we_bound() -> None:
    free, reserved = volume("a"), volume("b", claimRef=FOR_US)
    bound = volumes.bind_to(free, claim())
    assert bound is not None and bound["metadata"]["annotations"] == {volumes.BOUND_BY_CONTROLLER: "yes"}
    assert volumes.bind_to(bound, claim()) is None and "claimRef" not in free["spec"]
    filled = volumes.bind_to(reserved, claim())
    assert filled is not None and filled["spec"]["claimRef"]["uid"] == "u" and "annotations" not in filled["metadata"]


def test_the_newest_default_class() -> None:
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}

    def named(name: str, created: str, annotations: dict[str, str]) -> Object:
        return {"metadata": {"name": name, "creationTimestamp": created, "annotations": annotations}}

    classes = [named("a", "2025-01-01", mark), named("c", "2025-01-02", mark), named("b", "2025-01-02", mark)]
    assert volumes.default_class([*classes, named("z", "2025-01-03", {})]) is classes[2]
    assert volumes.default_class([named("z", "2025-01-03", {})]) is None


@pytest.mark.parametrize(
    ("terms", "allowed"),
    [
        ([], True),
        ([{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}], True),
        ([{"matchLabelExpressions": [{"key": "zone", "values": ["b"]}]}], False),
        ([{"matchLabelExpressions": [{"key": "zone", "values": ["b"]}]}, {"matchLabelExpressions": []}], True),
    ],
)
def test_allowed_topologies(terms: list[Object], allowed: bool) -> None:
    assert volumes.topology_allows({"allowedTopologies": terms}, NODE) is allowed
