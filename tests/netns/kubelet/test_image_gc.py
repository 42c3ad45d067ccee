"""Images on a disk that is fuller than it may be: what nobody uses goes, what somebody uses stays."""

from __future__ import annotations

from tests.netns.kubelet import oci
from tests.netns.kubelet.agent import eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.faults import pod
from tests.netns.kubelet.machine import Machine

BALLAST = "docker.io/library/ballast:latest"


def test_a_disk_above_the_high_mark(machine: Machine, cluster: Cluster) -> None:
    machine.ctr("images", "import", str(oci.build_ballast(machine.dir, BALLAST, 1 << 20)))
    with joined(cluster) as kubelet:
        cluster.apply(pod("uses"))
        kubelet.running("uses")
        assert BALLAST in machine.ctr("images", "ls", "-q"), "85 % is a lot"
    # Any disk is that full, and none can be emptied so far.
    with joined(cluster, imageGCHighThresholdPercent=1, imageGCLowThresholdPercent=0) as kubelet:
        eventually(lambda: BALLAST not in machine.ctr("images", "ls", "-q"), "the end of what nobody uses")
        eventually(lambda: "FreeDiskSpaceFailed" in cluster.events("node"), "that it was not enough")
        assert {oci.BUSYBOX, oci.PAUSE} <= set(machine.ctr("images", "ls", "-q").split()), "they are in use"
        assert kubelet.container("uses")["restartCount"] == 0
        said = cluster.kubectl(
            "get", "events", "--field-selector=reason=FreeDiskSpaceFailed", "-o=jsonpath={..message}"
        )
        assert said.startswith("Failed to garbage collect required amount of images. Attempted to free "), said
