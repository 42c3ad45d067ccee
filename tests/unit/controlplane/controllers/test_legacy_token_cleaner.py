"""Which tokens of Secrets are no longer used (legacy_serviceaccount_token_cleaner_test.go)."""

import datetime

import pytest

from controlplane.controllers.legacy_token_cleaner import (
    INVALID_SINCE,
    LAST_USED,
    invalid_since,
    is_unused,
    tracked_long_enough,
)

NOW = datetime.datetime(2023, 1, 20, 12, tzinfo=datetime.UTC)
PERIOD = datetime.timedelta(days=10)


def secret(created="2023-01-01T00:00:00Z", labels=None, uid="1", **metadata):
    annotations = {"kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": uid}
    meta = {"name": "token", "namespace": "a", "creationTimestamp": created, "annotations": annotations, **metadata}
    return {"metadata": {**meta, "labels": labels or {}}, "type": "kubernetes.io/service-account-token"}


def account(*listed):
    return {"metadata": {"name": "robot", "namespace": "a", "uid": "1"}, "secrets": [{"name": each} for each in listed]}


@pytest.mark.parametrize(
    ("given", "owner", "unused"),
    [
        (secret(), account("token"), True),
        (secret(uid=""), account("token"), True),
        (secret(), account("other", "token"), True),
        (secret(), account(), False),
        (secret(), None, False),
        (secret(uid="2"), account("token"), False),
        (secret(created="2023-01-10T11:59:59Z"), account("token"), True),
        (secret(created="2023-01-10T12:00:00Z"), account("token"), False),
        (secret(deletionTimestamp="2023-01-20T00:00:00Z"), account("token"), False),
        (secret(labels={LAST_USED: "2023-01-09"}), account("token"), True),
        (secret(labels={LAST_USED: "2023-01-10"}), account("token"), False),
        (secret(labels={LAST_USED: "2023-01-09-1"}), account("token"), False),
        (secret(labels={LAST_USED: ""}), account("token"), False),
        (secret(labels={INVALID_SINCE: "2023-01-19"}), account("token"), True),
    ],
)
def test_what_is_unused(given, owner, unused):
    assert is_unused(given, owner, NOW, PERIOD) is unused


@pytest.mark.parametrize(
    ("since", "enough"),
    [("2023-01-09", True), ("2023-01-10", False), ("2023-01-01-1", False), ("", False), (None, False)],
)
def test_how_long_uses_are_noted(since, enough):
    tracking = {"data": {"since": since}} if since is not None else {}
    assert tracked_long_enough(tracking, NOW, PERIOD) is enough


@pytest.mark.parametrize(
    ("label", "since"), [("2023-01-01", "2023-01-01"), ("2023-01-01-1", None), ("2023-1-1", None), (None, None)]
)
def test_since_when_it_is_invalid(label, since):
    assert invalid_since(secret(labels={INVALID_SINCE: label} if label else {})) == since
