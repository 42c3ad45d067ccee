"""Addresses of pods between CNI ADD and the status that tells them."""

from typing import Any

from nodeagent.policy.attached import Attached, is_meant
from nodeagent.policy.model import trim_pod

OLD, NEW = "10.0.0.1", "10.0.0.2"


def pod(name: str, *ips: str, uid: str = "", phase: str = "Pending", **annotations: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "uid": uid or name, "annotations": annotations}
    status = {"phase": phase, "podIPs": [{"ip": ip} for ip in ips]}
    return trim_pod({"metadata": meta, "spec": {"containers": []}, "status": status})


def ips(attached: Attached, *pods: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {one.name: one.ips for one in attached.read(pods)}


def test_an_address_holds_until_the_status_says_something_new() -> None:
    attached = Attached()
    assert ips(attached, pod("a")) == {}
    attached.note(pod("a"), (NEW,))
    assert ips(attached, pod("a")) == {"a": (NEW,)}
    assert ips(attached, pod("a", NEW)) == {"a": (NEW,)}
    assert ips(attached, pod("a", OLD)) == {"a": (OLD,)}  # attached anew without us
    assert ips(attached, pod("a")) == {}


def test_a_new_sandbox_counts_although_the_status_still_tells_of_the_former() -> None:
    attached = Attached()
    attached.note(pod("a", OLD), (NEW,))
    assert ips(attached, pod("a", OLD)) == {"a": (NEW,)}
    assert ips(attached, pod("a")) == {"a": (NEW,)}


def test_an_address_is_the_last_pods_that_was_given_it() -> None:
    attached = Attached()
    attached.note(pod("b"), (OLD,))
    assert ips(attached, pod("a", OLD, "fd00::1"), pod("b")) == {"a": ("fd00::1",), "b": (OLD,)}
    assert ips(attached, pod("a", OLD), pod("b")) == {"b": (OLD,)}
    attached.note(pod("c"), (OLD,))
    assert ips(attached, pod("b"), pod("c")) == {"c": (OLD,)}


def test_another_pod_of_the_name_and_one_that_ended_have_none() -> None:
    attached = Attached()
    attached.note(pod("a"), (NEW,))
    assert ips(attached, pod("a", uid="other")) == {}
    attached.note(pod("a"), (NEW,))
    assert ips(attached, pod("a", phase="Failed")) == {}
    attached.note(pod("a"), (NEW,))
    assert ips(attached) == {}
    assert ips(attached, pod("a")) == {}


def test_a_static_pod_is_known_by_its_mirror() -> None:
    mirror = pod("a", uid="1", **{"kubernetes.io/config.mirror": "hash"})
    assert [is_meant(mirror, uid) for uid in ("", "1", "hash", "2")] == [True, True, True, False]
