"""CronJobs: what is due, what runs are called, which are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.controllers.cronjob_plan import (
    SCHEDULED,
    Due,
    compute_due,
    is_too_late,
    job_name,
    last_success,
    next_in,
    plan_history,
    render_job,
    schedule_of,
)

Object = dict[str, Any]


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2025-06-{text}").replace(tzinfo=UTC)


def cronjob(schedule: str, *, last: str | None = None, created: str = "2025-06-01T00:00:00Z", **spec: Any) -> Object:
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"template": {"spec": {}}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "default", "uid": "u", "creationTimestamp": created},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
        "status": {"lastScheduleTime": last} if last else {},
    }


@pytest.mark.parametrize(
    ("of", "now", "latest", "missed"),
    [
        (cronjob("0 * * * *"), "01T00:59:59", None, 0),
        (cronjob("0 * * * *"), "01T01:00:00", "01T01:00", 0),
        (cronjob("0 * * * *"), "01T01:59:59", "01T01:00", 0),
        (cronjob("0 * * * *"), "01T05:30:00", "01T05:00", 5),
        (cronjob("0 * * * *", last="2025-06-01T05:00:00Z"), "01T05:30:00", None, 0),
        (cronjob("0 * * * *", last="2025-06-01T04:00:00Z"), "01T05:30:00", "01T05:00", 0),
        (cronjob("* * * * *"), "01T12:00:00", "01T12:00", 720),
        # Only what is younger than the deadline counts.
        (cronjob("* * * * *", startingDeadlineSeconds=600), "01T12:00:30", "01T12:00", 10),
        (cronjob("0 * * * *", startingDeadlineSeconds=60), "01T12:00:30", "01T12:00", 0),
        (cronjob("0 * * * *", startingDeadlineSeconds=60), "01T12:30:00", None, 0),
        (cronjob("0 * * * *", startingDeadlineSeconds=2**62), "01T01:30:00", "01T01:00", 0),
        # Irregular ones: the estimate is corrected.
        (cronjob("30 6-16/4 * * 1-5", last="2025-06-02T14:30:00Z"), "03T09:00:00", "03T06:30", 0),
        (cronjob("30 6-16/4 * * 1-5", last="2025-06-02T06:30:00Z"), "03T09:00:00", "03T06:30", 6),
        (cronjob("@every 90m"), "01T04:00:00", "01T03:00", 2),
        # 2025-06-01 00:00 in Tokyo is nine hours earlier.
        (cronjob("0 0 * * *", timeZone="Asia/Tokyo"), "01T16:00:00", "01T15:00", 0),
    ],
)
def test_due(of: Object, now: str, latest: str | None, missed: int) -> None:
    found = compute_due(of, schedule_of(of), at(now))
    assert found.latest == (at(latest) if latest else None)
    assert found.missed == missed


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", ", * * * *"])
def test_a_schedule_that_never_comes_is_an_error(schedule: str) -> None:
    of = cronjob(schedule)
    with pytest.raises(ValueError, match="time difference between two schedules is less than 1 second"):
        compute_due(of, schedule_of(of), at("02T00:00"))
    assert next_in(of, schedule_of(of), at("02T00:00")) is None


def test_nothing_was_missed_before_the_first_time() -> None:
    of = cronjob("0 * * * *")
    assert compute_due(of, schedule_of(of), at("01T00:10")) == Due(at("01T00:00"))


@pytest.mark.parametrize(
    ("of", "now", "seconds"),
    [
        (cronjob("0 * * * *"), "01T00:59:00", 60.1),
        (cronjob("0 * * * *"), "01T05:59:00", 60.1),
        (cronjob("0 * * * *", last="2025-06-01T05:00:00Z"), "01T05:00:00.100", 3600.0),
        # Too late for this one: look again at the next.
        (cronjob("0 * * * *", startingDeadlineSeconds=10), "01T05:30:00", 1800.1),
        (cronjob("@every 90m"), "01T04:00:00", 1800.1),
    ],
)
def test_the_next_look(of: Object, now: str, seconds: float) -> None:
    assert next_in(of, schedule_of(of), at(now)) == pytest.approx(seconds)


def test_too_late() -> None:
    of = cronjob("0 * * * *", startingDeadlineSeconds=10)
    assert not is_too_late(of, at("01T01:00"), at("01T01:00:10"))
    assert is_too_late(of, at("01T01:00"), at("01T01:00:11"))
    assert not is_too_late(cronjob("0 * * * *"), at("01T01:00"), at("09T01:00"))


@pytest.mark.parametrize(
    ("zone", "stamp"),
    [
        (None, "2025-06-01T15:00:00Z"),
        ("Etc/UTC", "2025-06-01T15:00:00Z"),
        ("Asia/Tokyo", "2025-06-02T00:00:00+09:00"),
        ("America/New_York", "2025-06-01T11:00:00-04:00"),
    ],
)
def test_the_job_of_a_run(zone: str | None, stamp: str) -> None:
    of = cronjob("0 * * * *", **({"timeZone": zone} if zone else {}))
    job = render_job(of, at("01T15:00"))
    assert job["metadata"]["name"] == job_name(of, at("01T15:00")) == f"nightly-{1748790000 // 60}"
    assert job["metadata"]["labels"] == {"a": "b"}
    assert job["metadata"]["annotations"] == {"c": "d", SCHEDULED: stamp}
    owner = job["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("CronJob", "u", True)
    job["spec"]["template"]["spec"]["changed"] = True
    assert of["spec"]["jobTemplate"]["spec"]["template"]["spec"] == {}


def job(name: str, end: str | None, started: str | None, *, deleting: bool = False, done: str = "") -> Object:
    conditions = [{"type": end, "status": "True"}] if end else []
    metadata = {"name": name, "namespace": "default", "uid": name}
    if deleting:
        metadata["deletionTimestamp"] = "2025-06-01T00:00:00Z"
    times = {"startTime": started, "completionTime": done}
    return {"metadata": metadata, "status": {"conditions": conditions, **{k: v for k, v in times.items() if v}}}


def test_history() -> None:
    """The oldest go first; those that run, and those that go already, are left alone."""
    jobs = [
        job("c", "Complete", "2025-06-01T03:00:00Z"),
        job("a", "Complete", "2025-06-01T01:00:00Z"),
        job("b", "Complete", "2025-06-01T02:00:00Z"),
        job("gone", "Complete", "2025-06-01T00:00:00Z", deleting=True),
        job("z", "Failed", "2025-06-01T01:00:00Z"),
        job("y", "Failed", None),
        job("running", None, "2025-06-01T00:30:00Z"),
    ]

    def names(**limits: Any) -> list[str]:
        return [each["metadata"]["name"] for each in plan_history(cronjob("* * * * *", **limits), jobs)]

    assert names() == []
    assert names(successfulJobsHistoryLimit=2) == ["a"]
    assert names(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=1) == ["a", "b", "c", "z"]
    assert names(failedJobsHistoryLimit=5) == []


def test_the_last_success() -> None:
    jobs = [
        job("a", "Complete", None, done="2025-06-01T01:00:00Z"),
        job("b", "Complete", None, done="2025-06-01T02:00:00Z"),
        job("c", "Failed", None, done="2025-06-01T03:00:00Z"),
        job("d", None, None),
    ]
    assert last_success(None, jobs) == "2025-06-01T02:00:00Z"
    assert last_success("2025-06-05T00:00:00Z", jobs) == "2025-06-05T00:00:00Z"
    assert last_success(None, []) is None
