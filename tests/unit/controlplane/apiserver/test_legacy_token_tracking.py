"""The ConfigMap that says since when the use of tokens is noted."""

import datetime

import pytest

from controlplane.apiserver.bootstrap.legacy_token_tracking import KEY, NAME, plan_config_map

NOW = datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("data", "since"),
    [
        ({KEY: "2025-06-07"}, None),
        ({KEY: "2025-6-7"}, "2026-01-02"),
        ({KEY: "2025-02-30"}, "2026-01-02"),
        ({KEY: ""}, "2026-01-02"),
        (None, "2026-01-02"),
    ],
)
def test_a_date_that_is_none_is_mended(data, since):
    have = {"metadata": {"name": NAME, "resourceVersion": "7"}, **({} if data is None else {"data": data})}
    wanted = {**have, "data": {KEY: since}} if since else None
    assert plan_config_map(have, NOW, NOW) == wanted


def test_one_is_made_every_half_hour_at_most():
    made = plan_config_map(None, None, NOW)
    assert made is not None and made["data"] == {KEY: "2026-01-02"} and made["metadata"]["namespace"] == "kube-system"
    assert plan_config_map(None, NOW - datetime.timedelta(minutes=29), NOW) is None
    assert plan_config_map(None, NOW - datetime.timedelta(minutes=30), NOW) == made
