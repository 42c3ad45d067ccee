"""Volumes on a real node: claims of local-path, local directories and devices, raw devices, and what goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.machine import Machine

GATES = ("ImageVolume", "UserNamespacesSupport")
FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
Object = dict[str, Any]


@pytest.fixture(scope="module")
def cluster_flags() -> tuple[str, ...]:
    return (f"--feature-gates={','.join(f'{gate}=true' for gate in GATES)}",)


@pytest.fixture(scope="module")
def kubelet(machine: Machine, cluster: Cluster) -> Iterator[Kubelet]:
    parameters = {"nodePath": str(machine.dir / "local-path"), "helperImage": "busybox"}
    cluster.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local-path",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubelab.io/local-path",
            "parameters": parameters,
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    with joined(cluster, featureGates=dict.fromkeys(GATES, True)) as agent:
        yield agent


@pytest.fixture(autouse=True)
def _clean(cluster: Cluster, kubelet: Kubelet) -> Iterator[None]:
    yield
    cluster.kubectl("delete", "statefulsets,pods", "--all", "--grace-period=1", "--timeout=120s")
    cluster.kubectl("delete", "pvc", "--all", "--timeout=120s")
    eventually(lambda: not kubelet.pods(), "an empty node")
    eventually(lambda: not list((kubelet.root / "pods").iterdir()), "no pod folder left")


def pod(name: str, volumes: list[Object], *containers: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": list(containers), "volumes": volumes, "terminationGracePeriodSeconds": 1, **spec},
    }


def claim_volume(claim: str, **more: Any) -> Object:
    return {"name": "data", "persistentVolumeClaim": {"claimName": claim, **more}}


def claim(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}, **spec},
    }


def local(name: str, path: Path, **spec: Any) -> Object:
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Mi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            **spec,
        },
    }


def at(path: str, **more: Any) -> list[Object]:
    return [{"name": "data", "mountPath": path, **more}]


def run(cluster: Cluster, kubelet: Kubelet, name: str, volumes: list[Object], script: str, **more: Any) -> str:
    """The log of a pod that has run its script."""
    container = busybox(script, volumeMounts=more.pop("mounts", at("/data")), **more.pop("container", {}))
    cluster.apply(pod(name, volumes, container, restartPolicy="Never", **more))
    eventually(lambda: cluster.get("pod", name)["status"]["phase"] in ("Succeeded", "Failed"), f"{name} ended")
    said = cluster.kubectl("logs", name)
    assert cluster.get("pod", name)["status"]["phase"] == "Succeeded", said
    return said


def told(cluster: Cluster, text: str) -> None:
    """Wait for an event that says so."""
    eventually(lambda: text in cluster.kubectl("get", "events", "-o=jsonpath={.items[*].message}"), text)


@pytest.fixture
def device(machine: Machine) -> Iterator[Path]:
    image = machine.dir / "disk"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    argv = ["losetup", "--find", "--show", str(image)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    yield Path(done.stdout.strip())
    subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)


def test_a_stateful_set_keeps_its_data(cluster: Cluster, kubelet: Kubelet, machine: Machine) -> None:
    script = f"cat /data/seen; hostname >> /data/seen; echo ready; {FOREVER}"
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "containers": [busybox(script, volumeMounts=at("/data"))],
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"fsGroup": 4242},
        },
    }
    spec = {
        "serviceName": "web",
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("x")["spec"]}],
    }
    cluster.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": spec})
    cluster.kubectl("rollout", "status", "statefulset/web", "--timeout=120s")
    before = cluster.get("pod", "web-0")["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "web-0")
    eventually(lambda: cluster.get("pod", "web-0")["metadata"]["uid"] != before, "web-0 made anew")
    eventually(lambda: cluster.kubectl("logs", "web-0").split() == ["web-0", "ready"], "its data")
    named = cluster.get("pvc", "data-web-0")["spec"]["volumeName"]
    folder = machine.dir / "local-path" / f"{named}_default_data-web-0"
    assert (folder / "seen").read_text() == "web-0\nweb-0\n" and folder.stat().st_gid == 4242
    shown = cluster.kubectl("get", "pv,pvc,sc")
    assert "RECLAIM POLICY" in shown and "local-path (default)" in shown and "default/data-web-1" in shown
    # What is mounted survives the agent, and a container starts again without the API's help.
    kubelet.stop(signal.SIGKILL)
    kubelet.start()
    cluster.kubectl("exec", "web-0", "--", "sh", "-c", "kill 1")
    eventually(lambda: kubelet.container("web-0")["restartCount"] == 1, "a restart")
    eventually(lambda: cluster.kubectl("logs", "web-0").split() == ["web-0", "web-0", "ready"], "its data")
    cluster.kubectl("delete", "statefulset", "web")
    cluster.kubectl("delete", "pvc", "--all", "--timeout=120s")
    eventually(lambda: not folder.exists(), "the directory removed")
    eventually(lambda: not json.loads(cluster.kubectl("get", "pv", "-o=json"))["items"], "no volumes")


def test_a_device_is_formatted_mounted_and_kept(cluster: Cluster, kubelet: Kubelet, device: Path) -> None:
    cluster.apply(local("disk", device))
    cluster.apply(claim("disk", storageClassName="disk"))
    script = "id -g; stat -c %g /data; echo x > /data/f; grep ' /data ' /proc/mounts"
    said = run(cluster, kubelet, "one", [claim_volume("disk")], script, securityContext={"fsGroup": 77, "runAsUser": 5})
    assert "77" in said.split() and " ext4 " in said
    assert (
        run(
            cluster,
            kubelet,
            "two",
            [claim_volume("disk", readOnly=True)],
            "cat /data/f; ! touch /data/g 2>&1 | grep -v Read-only",
        )
        == "x\n"
    )
    cluster.kubectl("delete", "pods", "--all")
    places = kubelet.root / "plugins/kubernetes.io/local-volume/mounts"
    eventually(lambda: not list(places.iterdir()), "the device unmounted")
    cluster.kubectl("delete", "pvc,pv", "--all", "--timeout=120s")


def test_a_raw_device(cluster: Cluster, kubelet: Kubelet, device: Path) -> None:
    cluster.apply(local("raw", device, volumeMode="Block"))
    cluster.apply(claim("raw", storageClassName="raw", volumeMode="Block"))
    container = {"volumeDevices": [{"name": "data", "devicePath": "/dev/xvda"}]}
    script = "echo -n hello | dd of=/dev/xvda conv=notrunc 2>/dev/null && sync && test -b /dev/xvda"
    run(cluster, kubelet, "raw", [claim_volume("raw")], script, mounts=[], container=container)
    assert device.read_bytes()[:5] == b"hello"
    cluster.apply(pod("wrong", [claim_volume("raw")], busybox("true", volumeMounts=at("/data"))))
    text = "volume data has volumeMode Block, but is specified in volumeMounts"
    told(cluster, text)
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1")
    cluster.kubectl("delete", "pvc,pv", "--all", "--timeout=120s")


def test_what_is_not_there_is_said_and_waited_for(cluster: Cluster, kubelet: Kubelet, machine: Machine) -> None:
    folder = machine.dir / "late"
    cluster.apply(local("late", folder))
    cluster.apply(claim("late", storageClassName="late"))
    cluster.apply(pod("late", [claim_volume("late")], busybox(FOREVER, volumeMounts=at("/data"))))
    text = f'MountVolume.NewMounter initialization failed for volume "late" : path "{folder}" does not exist'
    told(cluster, text)
    folder.mkdir()
    kubelet.running("late")
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1")
    cluster.kubectl("delete", "pvc,pv", "--all", "--timeout=120s")


def test_kinds_that_cannot_be_mounted(cluster: Cluster, kubelet: Kubelet) -> None:
    volumes = {
        "nfs": {"nfs": {"server": "127.0.0.1", "path": "/x"}},
        "driver": {"csi": {"driver": "no.such"}},
        "socket": {"hostPath": {"path": "/etc", "type": "Socket"}},
    }
    for name, source in volumes.items():
        mount = [{"name": "data", "mountPath": "/data"}]
        cluster.apply(pod(name, [{"name": "data", **source}], busybox(FOREVER, volumeMounts=mount)))
    wanted = (
        'MountVolume.SetUp failed for volume "data" : mount failed: exit status 32',
        "driver name no.such not found in the list of registered CSI drivers",
        'MountVolume.SetUp failed for volume "data" : hostPath type check failed: /etc is not a socket file',
    )
    for text in wanted:
        told(cluster, text)


def test_sub_paths(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.kubectl("create", "configmap", "sub", "--from-literal=key=text")
    volumes = [{"name": "map", "configMap": {"name": "sub"}}, {"name": "data", "emptyDir": {}}]
    mounts = [
        {"name": "map", "mountPath": "/one", "subPath": "key"},
        {"name": "data", "mountPath": "/two", "subPathExpr": "$(WHO)/logs"},
        {"name": "data", "mountPath": "/all"},
        {"name": "map", "mountPath": "/none", "subPath": "no-such-key"},
    ]
    container = {"env": [{"name": "WHO", "value": "me"}]}
    script = "test -d /none && cat /one; echo; touch /two/f; ls /all/me/logs"
    said = run(cluster, kubelet, "sub", volumes, script, mounts=mounts, container=container)
    assert said.split() == ["text", "f"]
    inner = {"name": "data", "mountPath": "/conf/inner"}
    below = [{"name": "map", "mountPath": "/conf"}, inner]
    said = run(cluster, kubelet, "below", volumes, "touch /conf/inner/f; ls /conf /conf/inner", mounts=below)
    assert said.split() == ["/conf:", "inner", "key", "/conf/inner:", "f"]
    evil = {**busybox("ln -s /etc /all/evil", volumeMounts=[mounts[2]]), "name": "evil"}
    bad = busybox("ls /two", volumeMounts=[{"name": "data", "mountPath": "/two", "subPath": "evil"}])
    made = pod("evil", [volumes[1]], bad, restartPolicy="Never", initContainers=[evil])
    cluster.apply(made)

    def refused() -> bool:
        waiting = kubelet.container("evil")["state"].get("waiting") or {}
        told = 'failed to prepare subPath for volumeMount "data" of container "main"'
        return waiting.get("reason") == "CreateContainerConfigError" and waiting["message"] == told

    eventually(refused, "the refusal")
    cluster.kubectl("delete", "configmap", "sub")


def test_memory_and_propagation(cluster: Cluster, kubelet: Kubelet, machine: Machine) -> None:
    shm = [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    script = "stat -c %a /data; df -k /data | tail -1; ! dd if=/dev/zero of=/data/x bs=1k count=2048 2>/dev/null"
    mode, room = run(cluster, kubelet, "shm", shm, script).split("\n", 1)
    assert mode == "1777" and " 1024 " in room
    shared = machine.dir / "shared"
    shared.mkdir()
    subprocess.run(machine.command("mount", "--bind", str(shared), str(shared)), check=True)
    subprocess.run(machine.command("mount", "--make-shared", str(shared)), check=True)
    volumes = [{"name": "data", "hostPath": {"path": str(shared), "type": "Directory"}}]
    script = "mkdir -p /data/in && mount -t tmpfs inside /data/in && touch /data/in/f"
    more = {"securityContext": {"privileged": True}}
    mounts = at("/data", mountPropagation="Bidirectional")
    run(cluster, kubelet, "both", volumes, script, mounts=mounts, container=more)
    looked = subprocess.run(machine.command("ls", str(shared / "in")), capture_output=True, text=True, check=True)
    assert looked.stdout == "f\n"
    subprocess.run(machine.command("umount", str(shared / "in")), check=True)
    subprocess.run(machine.command("umount", str(shared)), check=True)


def test_an_image_as_a_volume_ends_where_the_runtime_has_none(cluster: Cluster, kubelet: Kubelet) -> None:
    """containerd mounts images since 2.1. What the kubelet does up to there, and how each failure is told."""

    def image(name: str, reference: str, policy: str) -> Object:
        volume = {"name": "v", "image": {"reference": reference, "pullPolicy": policy}}
        return pod(name, [volume], busybox(FOREVER, volumeMounts=[{"name": "v", "mountPath": "/v"}]), nodeName="node")

    def waits(name: str) -> str:
        [status] = cluster.pod(name)["status"]["containerStatuses"]
        return str(status["state"]["waiting"]["reason"])

    cluster.apply(image("there", "busybox", "IfNotPresent"), image("away", "nowhere/no:1", "Never"))
    eventually(lambda: waits("there") == "CreateContainerError", "the runtime's refusal")
    eventually(lambda: waits("away") == "ErrImageNeverPull", "an image that is not there")
    told(cluster, 'Container image "busybox" already present on machine')
    told(cluster, 'Container image "nowhere/no:1" is not present with pull policy of Never')


def test_users_of_its_own_are_not_to_be_had_of_an_old_runtime(cluster: Cluster, kubelet: Kubelet) -> None:
    """containerd says what its handlers can since 2.0. Other pods run with the gate open: the rest of this module."""
    cluster.apply(pod("users", [], busybox(FOREVER), nodeName="node", hostUsers=False))
    why = 'can\'t set `spec.hostUsers: false`, runtime does not support user namespaces: the handler "" is not known'
    told(cluster, f"Failed to create pod sandbox: {why}")
    assert not cluster.pod("users")["status"].get("podIP")
