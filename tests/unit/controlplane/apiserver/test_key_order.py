"""The order in which people are shown an object's keys."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controlplane.apiserver.front.key_order import in_go_order

META = {"uid": "u", "labels": {"b": "1", "a": "2"}, "namespace": "n", "name": "x", "resourceVersion": "7"}
SORTED = ["name", "namespace", "uid", "resourceVersion", "labels"]


def keys(document: Any) -> list[str]:
    return list(document)


def test_a_built_in_kind_begins_with_itself_and_its_name() -> None:
    pod = {"status": {}, "metadata": META, "apiVersion": "v1", "spec": {"b": 1, "a": 2}, "kind": "Pod"}
    found = in_go_order(pod)
    assert found == pod
    assert keys(found) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert keys(found["metadata"]) == SORTED and keys(found["spec"]) == ["b", "a"]


def test_items_of_a_list() -> None:
    document = {"items": [{"spec": {}, "metadata": META}], "metadata": {}, "apiVersion": "v1", "kind": "PodList"}
    found = in_go_order(document)
    assert found == document
    assert keys(found) == ["kind", "apiVersion", "metadata", "items"]
    assert keys(found["items"][0]) == ["metadata", "spec"] and keys(found["items"][0]["metadata"]) == SORTED


def test_a_defined_kind_is_a_map() -> None:
    document = {"metadata": META, "kind": "Foo", "spec": {"b": 1, "a": {"z": 1, "y": 2}}, "apiVersion": "x.io/v1"}
    found = in_go_order(document)
    assert found == document and orjson.dumps(found) == orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize(
    "document",
    [
        [1],
        "text",
        None,
        {"b": 1, "a": 2},
        {"metadata": {}, "kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []},
    ],
)
def test_what_is_no_object_stays_as_it_is(document: Any) -> None:
    assert orjson.dumps(in_go_order(document)) == orjson.dumps(document)
