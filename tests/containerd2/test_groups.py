"""Whose groups a container has (supplementalGroupsPolicy, KEP-3619): containerd keeps to Strict since 2.0."""

from __future__ import annotations

import pytest

from tests.containerd2.pods import ask, pod
from tests.netns.kubelet import oci
from tests.netns.kubelet.agent import Kubelet
from tests.netns.kubelet.cluster import Cluster


@pytest.mark.parametrize(("policy", "groups"), [("Merge", [3000, 4000, 50000]), ("Strict", [3000, 4000])])
def test_groups_of_the_image(cluster: Cluster, kubelet: Kubelet, policy: str, groups: list[int]) -> None:
    image = oci.build_busybox(kubelet.machine.dir, members="ours:x:50000:me\n", users="me:x:1000:1000::/:/bin/sh\n")
    kubelet.machine.ctr("images", "import", str(image))
    context = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000]}
    cluster.apply(pod("groups", {}, securityContext={**context, "supplementalGroupsPolicy": policy}))
    [status] = cluster.ready("groups")["status"]["containerStatuses"]
    assert sorted(map(int, ask(cluster, "groups", "id -G").split())) == groups
    shown = status["user"]["linux"]
    assert (shown["uid"], shown["gid"], sorted(shown["supplementalGroups"])) == (1000, 3000, groups)
