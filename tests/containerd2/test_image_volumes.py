"""Images as volumes (KEP-4639): containerd mounts them since 2.1."""

from __future__ import annotations

from tests.containerd2.pods import Object, ask, pod, refused, told, waits
from tests.netns.kubelet.agent import Kubelet, eventually
from tests.netns.kubelet.cluster import Cluster


def image(reference: str = "busybox", policy: str = "IfNotPresent") -> Object:
    return {"volume": {"image": {"reference": reference, "pullPolicy": policy}}}


def test_an_image_is_mounted_read_only(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("plain", {"/v": image()}), pod("users", {"/v": image()}, hostUsers=False))
    for name in ("plain", "users"):
        told(cluster, 'Container image "busybox" already present on machine')
        cluster.ready(name)
        script = "/v/bin/busybox head -n 1 /v/etc/passwd; stat -c %u /v/etc/passwd; touch /v/made"
        said = ask(cluster, name, script).splitlines()
        assert said[:2] == ["root:x:0:0:root:/root:/bin/sh", "0"] and "Read-only file system" in said[2]
    assert {"name": "v0", "mountPath": "/v"} in cluster.pod("plain")["status"]["containerStatuses"][0]["volumeMounts"]
    # Not of the other: 2.1.9 maps the ids of an image once more for each container after the first, which the kernel
    # refuses (containerd's issue 12812, mended in later ones).
    ask(cluster, "plain", "kill 1")
    eventually(lambda: kubelet.container("plain")["restartCount"] == 1, "a restart")
    cluster.ready("plain")
    assert ask(cluster, "plain", "ls /v/bin/busybox") == "/v/bin/busybox\n"


def test_an_image_that_cannot_be_had(cluster: Cluster, kubelet: Kubelet) -> None:
    nowhere = image("127.0.0.1:9/no:1")
    cluster.apply(pod("never", {"/v": image("nowhere/no:1", "Never")}), pod("away", {"/v": nowhere}))
    eventually(lambda: waits(cluster, "never") == "ErrImageNeverPull", "an image that is not there")
    told(cluster, 'Container image "nowhere/no:1" is not present with pull policy of Never')
    eventually(lambda: waits(cluster, "away") == "ImagePullBackOff", "a registry that is not there")
    told(cluster, 'Failed to pull image "127.0.0.1:9/no:1": ')
    told(cluster, 'Back-off pulling image "127.0.0.1:9/no:1"')


def test_a_path_below_is_refused(cluster: Cluster) -> None:
    wanted = refused(cluster, pod("below", {"/v": {**image(), "subPath": "etc"}}))
    why = 'spec.containers[0].volumeMounts[0].subPath: Invalid value: "etc": not allowed in image volume sources'
    assert why in wanted
