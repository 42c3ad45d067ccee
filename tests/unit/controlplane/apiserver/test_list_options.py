"""The query of lists, watches and gets: upstream's table of resourceVersion and resourceVersionMatch, and our times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.registry.options import ListOptions, get_options, list_options

MOMENT = datetime(2026, 11, 21, 5, 0, 0, tzinfo=UTC)


def revision_at(when: datetime) -> int:
    assert when == MOMENT
    return 42


def options(watch: bool, **query: str) -> ListOptions:
    return list_options(query, watch=watch, revision_at=revision_at)


LISTS = [
    ({}, None),
    ({"resourceVersion": "0"}, None),
    ({"resourceVersion": "7"}, None),
    ({"resourceVersion": "7", "limit": "5"}, None),
    ({"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}, None),
    ({"resourceVersion": "7", "resourceVersionMatch": "NotOlderThan"}, None),
    ({"resourceVersion": "7", "resourceVersionMatch": "Exact"}, None),
    (
        {"resourceVersionMatch": "Exact"},
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    (
        {"resourceVersionMatch": "NotOlderThan"},
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    (
        {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
        'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
    ),
    (
        {"resourceVersion": "7", "resourceVersionMatch": "Exact", "continue": "x"},
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
    ),
    (
        {"resourceVersion": "7", "resourceVersionMatch": "Sometimes"},
        'resourceVersionMatch: Unsupported value: "Sometimes": supported values: "Exact", "NotOlderThan", ""',
    ),
    ({"sendInitialEvents": "true"}, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
    ({"sendInitialEvents": "false"}, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
]


@pytest.mark.parametrize(("query", "problem"), LISTS, ids=[str(query) for query, _ in LISTS])
def test_lists(query: dict[str, str], problem: str | None) -> None:
    if problem is None:
        assert options(False, **query).revision == (int(query["resourceVersion"]) if query else None)
        return
    with pytest.raises(ApiError) as refused:
        options(False, **query)
    assert refused.value.code == 422
    assert refused.value.message == f'ListOptions.meta.k8s.io "" is invalid: {problem}'


WATCHES = [
    ({}, (None, True)),
    ({"resourceVersion": "0"}, (0, True)),
    ({"resourceVersion": "7"}, (7, None)),
    ({"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}, (None, True)),
    ({"sendInitialEvents": "0", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "7"}, (7, False)),
    ({"sendInitialEvents": "yes", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "7"}, (7, True)),
    (
        {"resourceVersion": "7", "resourceVersionMatch": "NotOlderThan"},
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
        "provided",
    ),
    (
        {"sendInitialEvents": "true"},
        "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    ),
    (
        {"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "continue": "x"},
        "[resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, "
        'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan", '
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided]",
    ),
]


@pytest.mark.parametrize(("query", "expected"), WATCHES, ids=[str(query) for query, _ in WATCHES])
def test_watches(query: dict[str, str], expected: object) -> None:
    if isinstance(expected, tuple):
        found = options(True, **query)
        assert (found.revision, found.send_initial_events) == expected
        return
    with pytest.raises(ApiError) as refused:
        options(True, **query)
    assert refused.value.message == f'ListOptions.meta.k8s.io "" is invalid: {expected}'


@pytest.mark.parametrize(
    "text", ["abc", "-1", "1e3", " 1", "18446744073709551616", "2026-11-21", "2026-11-21T05:00:00Z"]
)
def test_no_revisions(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        options(False, resourceVersion=text)
    assert refused.value.code == 400
    assert refused.value.message == (
        f'invalid resource version: resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
        "invalid syntax"
    )


@pytest.mark.parametrize("text", ["2026-11-21T05:00:00Z", "2026-11-21T06:00:00+01:00", "2026-11-21T05:00:00.000Z"])
def test_a_time_names_a_revision(text: str) -> None:
    assert options(False, resourceVersion=text, resourceVersionMatch="Exact").revision == 42
    assert options(True, resourceVersion=text).revision == 42
    found = get_options({"resourceVersion": text, "resourceVersionMatch": "Exact"}, revision_at)
    assert (found.revision, found.match) == (42, "Exact")


def test_numbers() -> None:
    assert options(False, limit="-5").limit == 0
    assert options(True, timeoutSeconds="7").timeout == 7
    with pytest.raises(ApiError, match=r'strconv\.ParseInt: parsing "x": invalid syntax') as refused:
        options(False, limit="x")
    assert refused.value.code == 400
