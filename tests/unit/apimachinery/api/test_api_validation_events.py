# ruff: noqa: E501
# A table of sentences reads better whole.
"""Events of both groups: what they are refused for."""

import pytest

from apimachinery.api.catalogue import EVENTS
from apimachinery.api.validation import validate_event_create, validate_event_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts

_OLD = {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "type": "Normal"}
_NEW = {
    **_OLD,
    "eventTime": "2025-01-02T03:04:05.600000Z",
    "reportingComponent": "x.io/agent",
    "reportingInstance": "a",
    "action": "Run",
    "reason": "Ran",
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (_OLD, []),
        ({}, ['involvedObject.namespace: Invalid value: "": does not match event.namespace']),
        (
            {"involvedObject": {"namespace": "b"}},
            ['involvedObject.namespace: Invalid value: "b": does not match event.namespace'],
        ),
        (_NEW, []),
        (
            {
                "involvedObject": _OLD["involvedObject"],
                "eventTime": _NEW["eventTime"],
                "message": "x" * 1025,
                "action": "x" * 129,
            },
            [
                "reportingComponent: Required value",
                "reportingInstance: Required value",
                'action: Invalid value: "": can have at most 128 characters',
                "reason: Required value",
                'message: Invalid value: "": can have at most 1024 characters',
            ],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_new_events_of_the_old_group(fields, expected):
    found = texts(
        validate_event_create(
            made(EVENTS, metadata={"namespace": "n"} if not fields else None, **fields), new_style=False
        )
    )
    assert [text for text in found if "name part" not in text] == expected


def test_names_of_events():
    assert validate_event_create(made(EVENTS, "Pod_x", **_OLD), new_style=False) == []
    assert texts(validate_event_create(made(EVENTS, "a/b", **_OLD), new_style=False)) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]
    assert "RFC 1123 subdomain" in texts(validate_event_create(made(EVENTS, "Pod_x", **_NEW), new_style=True))[0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (_NEW, []),
        (_OLD, ["eventTime: Required value"]),
        (
            {
                **_NEW,
                "type": "Odd",
                "firstTimestamp": "2025-01-01T00:00:00Z",
                "lastTimestamp": "2025-01-01T00:00:00Z",
                "count": 1,
                "source": {"host": "h"},
                "series": {},
            },
            [
                'series.count: Invalid value: "": should be at least 2',
                "series.lastObservedTime: Required value",
                'type: Invalid value: "": has invalid value: Odd',
                'firstTimestamp: Invalid value: "": needs to be unset',
                'lastTimestamp: Invalid value: "": needs to be unset',
                'count: Invalid value: "": needs to be unset',
                'source: Invalid value: "": needs to be unset',
            ],
        ),
    ],
    ids=["good", "of the old kind", "with the old fields"],
)
def test_new_events_of_the_new_group(fields, expected):
    assert texts(validate_event_create(made(EVENTS, **fields), new_style=True)) == expected


def test_only_the_series_of_an_event_changes():
    old = made(EVENTS, **_NEW)
    series = {"count": 2, "lastObservedTime": "2025-01-02T03:04:06.000000Z"}
    assert validate_event_update(made(EVENTS, **_NEW, series=series), old, new_style=True) == []
    other = {
        **_NEW,
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "q"},
        "source": {"component": "c"},
        "lastTimestamp": "2025-01-02T03:04:05Z",
        "count": 3,
        "eventTime": "2025-01-02T03:04:05.700000Z",
        "related": {"kind": "Node", "name": "n"},
        "reportingInstance": "b",
    }
    assert texts(validate_event_update(made(EVENTS, **other), old, new_style=True)) == [
        'involvedObject: Invalid value: core.ObjectReference{Kind:"Pod", Namespace:"default", Name:"q", UID:"", APIVersion:"", ResourceVersion:"", FieldPath:""}: field is immutable',
        'source: Invalid value: core.EventSource{Component:"c", Host:""}: field is immutable',
        "lastTimestamp: Invalid value: 2025-01-02 03:04:05 +0000 UTC: field is immutable",
        "count: Invalid value: 3: field is immutable",
        "eventTime: Invalid value: 2025-01-02 03:04:05.7 +0000 UTC: field is immutable",
        'related: Invalid value: core.ObjectReference{Kind:"Node", Namespace:"", Name:"n", UID:"", APIVersion:"", ResourceVersion:"", FieldPath:""}: field is immutable',
        'reportingInstance: Invalid value: "b": field is immutable',
    ]
    assert validate_event_update(made(EVENTS, **other), old, new_style=False) == []
    without = made(EVENTS, **{**_NEW, "eventTime": None})
    assert "eventTime: Invalid value: 0001-01-01 00:00:00 +0000 UTC: field is immutable" in texts(
        validate_event_update(without, old, new_style=True)
    )
