"""Disks that are plugged into a real node: from a claim to a mounted file system, to another node and back, grown.

The lab's host is this one: disks are sparse files, plugged in as loop devices by the real cloud controller manager. The
other node is only known to the API server: what is to be seen there is that it gets the disk, and when.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined

FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
PATIENCE = 90.0
SOURCE = Path(__file__).resolve().parents[3]
DRIVER = "disk.kubelab.io"
Object = dict[str, Any]


class Host:
    """What holds the machines: the cloud controller manager and its files."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.folder = cluster.machine.dir / "host"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir()
        machines = [
            {"name": name, "addresses": [address], "zone": "z", "instance_type": "t", "where": str(self.folder / name)}
            for name, address in (("node", "10.9.0.1"), ("other", "10.9.0.2"))
        ]
        plain = {"name": "l", "driver": "netns", "region": "r", "networks": ["10.9.0.0/24"], "pods": []}
        (self.folder / "cloud.json").write_text(json.dumps({**plain, "machines": machines}))
        argv = [
            sys.executable, "-m", "controlplane.cloud", f"--cloud-config={self.folder}/cloud.json",
            f"--kubeconfig={self._cluster.admin}", "--secure-port=0", "--leader-elect=false",
            "--controllers=disk-provisioner,disk-attacher,disk-resizer",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=SOURCE)

    def has_class(self) -> bool:
        """Whether the StorageClass is there, which the manager makes first."""
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
        return bool(self._cluster.get("storageclass", "disk"))

    def stop(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGTERM)
            self._process.wait(30)

    def plugged(self) -> dict[str, str]:
        """The loop devices of this host's disks, by the disk's id."""
        told = subprocess.run(["losetup", "--json", "--list", "--output", "NAME,BACK-FILE"], capture_output=True)
        devices = json.loads(told.stdout or b"{}").get("loopdevices", [])
        ours = [each for each in devices if str(each["back-file"]).startswith(f"{self.folder}/")]
        return {Path(each["back-file"]).name.split(".")[0]: each["name"] for each in ours}

    def unplug_all(self) -> None:
        for device in self.plugged().values():
            subprocess.run(["losetup", "--detach", device], check=True)


class CloudKubelet(Kubelet):
    """On a machine that disks can be plugged into."""

    flags = ("--cloud-provider=external",)


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, CloudKubelet) as agent:
        # Of the cloud controller manager only the controllers of disks run here: nobody else takes the taint away.
        cluster.kubectl("taint", "node", "node", "node.cloudprovider.kubernetes.io/uninitialized-")
        yield agent


@pytest.fixture(scope="module")
def host(cluster: Cluster, kubelet: Kubelet) -> Iterator[Host]:
    found = Host(cluster)
    try:
        found.start()
        eventually(found.has_class, "the class of disks", PATIENCE)
        yield found
    finally:
        found.stop()
        found.unplug_all()


@pytest.fixture(autouse=True)
def _clean(cluster: Cluster, kubelet: Kubelet, host: Host) -> Iterator[None]:
    yield
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=55s")
    cluster.kubectl("delete", "pvc", "--all", "--timeout=55s")
    eventually(lambda: not list((kubelet.root / "pods").iterdir()), "no pod folder left", PATIENCE)
    eventually(lambda: not items(cluster, "pv"), "no volume left", PATIENCE)
    eventually(lambda: not host.plugged() and not list((host.folder / "volumes").iterdir()), "no disk left", PATIENCE)


def items(cluster: Cluster, kind: str) -> list[Object]:
    found: list[Object] = json.loads(cluster.kubectl("get", kind, "-o=json"))["items"]
    return found


def claim(name: str, size: str = "32Mi", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "disk",
            "resources": {"requests": {"storage": size}},
            **spec,
        },
    }


def pod(name: str, container: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "terminationGracePeriodSeconds": 1,
            **spec,
        },
    }


def writer(script: str, **more: Any) -> Object:
    return busybox(script, **({"volumeMounts": [{"name": "data", "mountPath": "/data"}]} | more))


def attached(cluster: Cluster) -> set[str]:
    """The nodes that a disk is attached to, as the API says."""
    return {
        each["spec"]["nodeName"]
        for each in items(cluster, "volumeattachments")
        if (each.get("status") or {}).get("attached")
    }


def told(cluster: Cluster, reason: str, text: str) -> None:
    eventually(
        lambda: any(text in each["message"] and each["reason"] == reason for each in items(cluster, "events")),
        f"{reason}: {text}",
        PATIENCE,
    )


def logged(cluster: Cluster, name: str, lines: int) -> list[str]:
    """The first lines that the pod has printed, once it has."""

    def look() -> list[str] | None:
        told = cluster.kubectl("logs", name).splitlines()
        return told[:lines] if len(told) >= lines else None

    return eventually(look, f"{lines} lines of {name}", PATIENCE) or []


def head(device: str) -> bytes:
    with Path(device).open("rb") as file:
        return file.read(4)


def test_a_disk_follows_its_pod(cluster: Cluster, kubelet: Kubelet, host: Host) -> None:
    drivers = eventually(lambda: cluster.get("csinode", "node")["spec"]["drivers"], "the node's driver", PATIENCE)
    assert drivers == [{"name": DRIVER, "nodeID": "node", "allocatable": {"count": 20}}]
    group = {"fsGroup": 4242, "fsGroupChangePolicy": "OnRootMismatch"}
    script = f"stat -c %g /data; echo first > /data/seen; {FOREVER}"
    cluster.apply(claim("data"), pod("first", writer(script), securityContext=group))
    cluster.ready("first", PATIENCE)
    node, name = cluster.get("node", "node"), cluster.get("pvc", "data")["spec"]["volumeName"]
    handle = cluster.get("pv", name)["spec"]["csi"]["volumeHandle"]
    unique = f"kubernetes.io/csi/{DRIVER}^{handle}"
    assert node["status"]["volumesInUse"] == [unique]
    assert [each["name"] for each in node["status"]["volumesAttached"]] == [unique]
    assert host.plugged().keys() == {handle}
    told(cluster, "SuccessfulAttachVolume", f'AttachVolume.Attach succeeded for volume "{name}" ')
    told(cluster, "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
    assert logged(cluster, "first", 1) == ["4242"]
    # A restarted agent knows what it has.
    kubelet.stop()
    kubelet.start()
    assert cluster.get("node", "node")["status"]["volumesInUse"] == [unique]
    # Another node asks for it, and gets it when this one has let go.
    other = {
        "metadata": {"name": "other", "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": ""}}
    }
    cluster.apply({"apiVersion": "v1", "kind": "Node", **other})
    spec = {"drivers": [{"name": DRIVER, "nodeID": "other"}]}
    cluster.apply({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "other"}, "spec": spec})
    cluster.apply(pod("second", writer(FOREVER), nodeName="other"))
    told(
        cluster, "FailedAttachVolume", f'Multi-Attach error for volume "{name}" Volume is already used by pod(s) first'
    )
    assert attached(cluster) == {"node"}
    cluster.kubectl("delete", "pod", "first")
    eventually(lambda: attached(cluster) == {"other"}, "the disk on the other node", PATIENCE)
    assert not cluster.get("node", "node")["status"].get("volumesInUse")
    # And back, with what was written.
    cluster.kubectl("delete", "pod", "second", "--force", "--grace-period=0")
    cluster.apply(pod("third", writer(f"cat /data/seen; {FOREVER}"), nodeName="node"))
    cluster.ready("third", PATIENCE)
    assert logged(cluster, "third", 1) == ["first"]
    cluster.kubectl("delete", "node", "other")


def test_a_raw_device_grows(cluster: Cluster, kubelet: Kubelet, host: Host) -> None:
    raw = busybox(f"echo data > /dev/xvda; {FOREVER}", volumeDevices=[{"name": "data", "devicePath": "/dev/xvda"}])
    cluster.apply(claim("data", volumeMode="Block"), pod("raw", raw))
    cluster.ready("raw", PATIENCE)
    (disk,) = host.plugged().values()
    eventually(lambda: head(disk) == b"data", "what the pod wrote", PATIENCE)
    cluster.kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"48Mi"}}}}')
    eventually(lambda: cluster.get("pvc", "data")["status"]["capacity"]["storage"] == "48Mi", "48Mi", PATIENCE)
    size = f"/sys/block/{Path(disk).name}/size"
    assert int(Path(size).read_text()) * 512 == 48 << 20
    refused = '{"spec":{"resources":{"requests":{"storage":"16Mi"}}}}'
    assert "field can not be less than" in cluster.kubectl("patch", "pvc", "data", "-p", refused, check=False)


def test_a_file_system_grows(cluster: Cluster, kubelet: Kubelet, host: Host) -> None:
    """Mounted if this machine lets it; otherwise that is said, and it grows before it is mounted the next time."""
    cluster.apply(claim("data"), pod("first", writer(FOREVER)))
    cluster.ready("first", PATIENCE)
    cluster.kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"64Mi"}}}}')
    told(cluster, "FileSystemResizeRequired", "Require file system resize of volume on node")

    def tried() -> bool:
        # Its worker wakes for a changed annotation; otherwise once a minute.
        cluster.kubectl("annotate", "pod", "first", "--overwrite", f"look={os.urandom(4).hex()}")
        reasons = {each["reason"] for each in items(cluster, "events")}
        return bool(reasons & {"FileSystemResizeSuccessful", "VolumeResizeFailed"})

    eventually(tried, "the kubelet tries", PATIENCE)
    cluster.kubectl("delete", "pod", "first")
    cluster.apply(pod("second", writer(f"df -k /data; {FOREVER}")))
    cluster.ready("second", PATIENCE)
    eventually(lambda: cluster.get("pvc", "data")["status"]["capacity"]["storage"] == "64Mi", "64Mi", PATIENCE)
    status = cluster.get("pvc", "data")["status"]
    assert "conditions" not in status and "allocatedResourceStatuses" not in status
    assert int(logged(cluster, "second", 2)[1].split()[1]) > 48 << 10


def test_what_is_on_a_disk_is_not_formatted_over(cluster: Cluster, kubelet: Kubelet, host: Host) -> None:
    """A disk that somebody made by hand, with something on it that is no file system of the kind asked for."""
    disk = "vol-00000000000000aa"
    image = host.folder / "volumes" / f"{disk}.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkswap", str(image)], check=True, capture_output=True)
    csi = {"driver": DRIVER, "volumeHandle": disk, "fsType": "ext4"}
    spec = {
        "capacity": {"storage": "32Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "", "csi": csi,
        "persistentVolumeReclaimPolicy": "Retain",
    }  # fmt: skip
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "foreign"}, "spec": spec})
    before = image.read_bytes()
    cluster.apply(claim("data", storageClassName="", volumeName="foreign"), pod("p", writer(FOREVER)))
    told(cluster, "FailedMount", "wrong fs type, bad option, bad superblock")
    assert image.read_bytes() == before
    cluster.kubectl("delete", "pod", "p", "--grace-period=1")
    cluster.kubectl("delete", "pvc", "data")
    eventually(lambda: not host.plugged(), "the disk is pulled out", PATIENCE)
    cluster.kubectl("delete", "pv", "foreign")
    assert image.exists()  # Retain, and not made by the provisioner
    image.unlink()
