"""Since when what endpoints list is true."""

from __future__ import annotations

from typing import Any

from controlplane.controllers.trigger_times import TriggerTimes
from tests.unit.controlplane.controllers.objects_for_controllers import ago, pod

KEY = "default/web"
SERVICE: dict[str, Any] = {"metadata": {"name": "web", "namespace": "default", "creationTimestamp": ago(500)}}


def told(seen: TriggerTimes, service: dict[str, Any], *selected: dict[str, Any]) -> str:
    """What a look tells that is kept."""
    look = seen.look(service, selected)
    seen.keep(KEY, look)
    return look.since


def test_the_first_look_tells_the_age_of_the_service() -> None:
    assert told(TriggerTimes(), SERVICE, pod("a", ready=True, ready_for=20)) == ago(500)


def test_later_ones_the_earliest_change_since() -> None:
    seen = TriggerTimes()
    told(seen, SERVICE, pod("a", ready=True, ready_for=100), pod("b", ready_for=90))
    assert told(seen, SERVICE, pod("a", ready=True, ready_for=100), pod("b", ready_for=90)) == ""
    turned = [pod("a", ready_for=30), pod("b", ready=True, ready_for=20), pod("c", ready=True, ready_for=10)]
    assert told(seen, SERVICE, *turned) == ago(30)
    assert told(seen, SERVICE, *turned[1:]) == "", "a pod that goes has no time"
    back = [pod("b", ready_for=40), *turned[2:]]
    assert told(seen, SERVICE, *back) == "", "what lies before what was known is no change"


def test_what_could_not_be_written_is_told_again() -> None:
    seen = TriggerTimes()
    told(seen, SERVICE)
    assert seen.look(SERVICE, [pod("a", ready_for=3)]).since == ago(3)
    assert told(seen, SERVICE, pod("a", ready_for=3)) == ago(3)
    assert told(seen, SERVICE, pod("a", ready_for=3)) == ""


def test_a_service_that_was_made_anew() -> None:
    seen = TriggerTimes()
    told(seen, SERVICE)
    again = {"metadata": {**SERVICE["metadata"], "creationTimestamp": ago(5)}}
    assert told(seen, again) == ago(5)
    seen.forget(KEY)
    assert told(seen, again) == ago(5)


def test_a_rehearsal_learns_for_itself() -> None:
    seen, tried = TriggerTimes(), TriggerTimes()
    told(seen, SERVICE)
    tried.recall(seen)
    assert told(tried, SERVICE, pod("a", ready_for=3)) == ago(3)
    assert told(seen, SERVICE, pod("a", ready_for=3)) == ago(3)


def test_a_time_that_is_none_is_passed_over() -> None:
    seen, odd = TriggerTimes(), pod("a")
    told(seen, SERVICE)
    odd["status"]["conditions"][0]["lastTransitionTime"] = "yesterday"
    assert told(seen, SERVICE, odd, pod("b", ready_for=3)) == ago(3)
