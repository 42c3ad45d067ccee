"""What an event says that it is about, and what it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery.controller.event_parts import EventNames, bare, reference

Object = dict[str, Any]

NODE: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u", "resourceVersion": "7"}}
POD: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"}}


@pytest.mark.parametrize(
    ("obj", "field_path", "expected"),
    [
        (NODE, "", {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "resourceVersion": "7"}),
        (
            POD,
            "spec.containers{c}",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": "default",
                "name": "p",
                "uid": "u",
                "fieldPath": "spec.containers{c}",
            },
        ),
        (bare(NODE, uid="u"), "", {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}),
        (bare(NODE, uid="n", api_version=""), "", {"kind": "Node", "name": "n", "uid": "n"}),
        (bare(POD, uid=""), "", {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "p"}),
    ],
    ids=["whole", "a part", "of a controller", "of a cloud", "without a uid"],
)
def test_a_reference_leaves_out_what_the_object_has_not(obj: Object, field_path: str, expected: Object) -> None:
    assert reference(obj, field_path) == expected


def test_no_name_is_given_twice_even_when_the_clock_goes_back() -> None:
    names, now = EventNames(), datetime(2025, 1, 1, tzinfo=UTC)
    given = [names.next("p", moment) for moment in (now, now, datetime(2024, 1, 1, tzinfo=UTC))]
    assert given[0] == "p.1816687ec0570000" and len(set(given)) == 3
