"""crictl's words for what containerd says since 2.0."""

from __future__ import annotations

import json
import subprocess

from tests.containerd2.pods import pod
from tests.netns.crictl.conftest import Crictl
from tests.netns.kubelet.agent import Kubelet, eventually
from tests.netns.kubelet.cluster import Cluster


def at(kubelet: Kubelet) -> Crictl:
    machine = kubelet.machine
    (machine.dir / "crictl.yaml").write_text(f"runtime-endpoint: unix://{machine.socket}\ntimeout: 30\n")
    return Crictl(machine)


def test_what_the_runtime_says_of_itself(kubelet: Kubelet) -> None:
    crictl = at(kubelet)
    info = json.loads(crictl.out("info"))
    features = {"recursiveReadOnlyMounts": True, "userNamespaces": True}
    assert sorted(map(json.dumps, info["runtimeHandlers"])) == [
        json.dumps({"features": features, "name": name}) for name in ("", "runc")
    ]
    assert info["features"] == {"supplementalGroupsPolicy": True}
    assert crictl.out("runtime-config") == "cgroup driver:   CGROUPFS\n"
    [pause] = [image for image in json.loads(crictl.out("images", "-o", "json"))["images"] if "pause" in str(image)]
    assert pause["pinned"] is True


def test_events_come_from_the_runtime(cluster: Cluster, kubelet: Kubelet) -> None:
    output = kubelet.machine.dir / "events"
    with output.open("w") as file, subprocess.Popen(at(kubelet).argv("events"), stdout=file) as events:
        try:
            # What began before anybody listened is told to nobody: there are more, until one is heard of.
            numbers = iter(range(200))

            def told() -> bool:
                name = f"told-{next(numbers)}"
                cluster.apply(pod(name, {}, "true", restartPolicy="Never"))
                eventually(lambda: cluster.pod(name)["status"]["phase"] == "Succeeded", name)
                return "CONTAINER_STOPPED_EVENT" in output.read_text()

            eventually(told, "an event")
        finally:
            events.kill()
    assert "CONTAINER_CREATED_EVENT" in output.read_text() and "told-" in output.read_text()
