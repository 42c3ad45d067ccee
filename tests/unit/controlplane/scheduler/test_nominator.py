"""Whose room is kept where, from what is decided here and what the API shows."""

from __future__ import annotations

from controlplane.scheduler.nominator import Nominator
from controlplane.scheduler.pod_info import PodInfo
from tests.unit.controlplane.scheduler.objects_for_scheduling import pod


def shown(on: str = "") -> PodInfo:
    return PodInfo({**pod("p"), "status": {"nominatedNodeName": on} if on else {}})


def places(nominator: Nominator) -> list[str]:
    return sorted(nominator.nominated())


def test_what_the_api_does_not_show_yet_stays() -> None:
    nominator = Nominator()
    nominator.nominate(shown(), "a")
    nominator.follow(shown(), shown())
    assert places(nominator) == ["a"]


def test_what_the_api_shows_is_taken_over_and_taken_back() -> None:
    nominator = Nominator()
    nominator.follow(shown("a"), None)
    assert places(nominator) == ["a"]
    nominator.follow(shown("b"), shown("a"))
    assert places(nominator) == ["b"]
    nominator.follow(shown(), shown("b"))
    assert places(nominator) == []


def test_who_waits_for_no_node_is_not_kept() -> None:
    nominator = Nominator()
    nominator.nominate(shown(), "a")
    nominator.nominate(shown(), "")
    assert places(nominator) == []
    assert not nominator.remove(shown().uid)
