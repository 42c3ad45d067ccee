"""What keeps ending on a master is found before a wait gives up."""

from __future__ import annotations

import pytest

from provisioner.specfile import parse_lab
from provisioner.steps.endings import find_ended, read_counts, render_look

LOOK = """Id=docker-registry.service
NRestarts=0
ActiveState=active

NRestarts=2
ActiveState=activating
Id=kubelab-control-plane.service

etcd=/var/log/pods/kube-system_etcd-master-1_0a/etcd/0.log
kube-apiserver=/var/log/pods/kube-system_kube-apiserver-master-1_0b/kube-apiserver/11.log
kube-apiserver=/var/log/pods/kube-system_kube-apiserver-master-1_0b/kube-apiserver/2.log
kube-scheduler=/var/log/pods/kube-system_kube-scheduler-*/kube-scheduler/*.log
"""


def test_units_by_their_restarts_and_static_pods_by_their_newest_log() -> None:
    assert read_counts(LOOK) == {
        "docker-registry": 0,
        "kubelab-control-plane": 2,
        "etcd": 0,
        "kube-apiserver": 11,
    }


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"etcd": 0}, {"etcd": 2}, None),
        ({"etcd": 0}, {"etcd": 3}, ("etcd", 3)),
        ({"etcd": 9}, {"etcd": 10}, None),  # a lab that was halted and started ten times
        ({}, {"kube-apiserver": 4, "etcd": 3}, ("kube-apiserver", 4)),
        ({}, {}, None),
    ],
)
def test_three_ends_since_the_first_look_are_no_accident(
    before: dict[str, int], now: dict[str, int], found: tuple[str, int] | None
) -> None:
    assert find_ended(before, now) == found


def test_a_unit_that_systemd_gave_up_is_told_at_once() -> None:
    counts = read_counts("Id=docker-registry.service\nNRestarts=0\nActiveState=failed\n")
    ended = find_ended({}, counts)
    assert ended is not None and ended[0] == "docker-registry"


def test_a_service_lab_is_asked_for_units_and_a_static_one_for_pods() -> None:
    static, service = render_look(parse_lab("")), render_look(parse_lab("controlPlane: service\n"))
    assert "kube-apiserver" in static and "kubelab-control-plane" not in static
    assert "kubelab-control-plane" in service and "/var/log/pods" not in service
