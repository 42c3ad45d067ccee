"""Pods with users of their own (`hostUsers: false`, KEP-127), seen from inside and from the node."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.containerd2.pods import Object, ask, pod, refused, told
from tests.netns.kubelet.agent import Kubelet, eventually
from tests.netns.kubelet.cluster import Cluster

EMPTY = {"volume": {"emptyDir": {}}}


def own(name: str, mounts: dict[str, Object] | None = None, **spec: object) -> Object:
    return pod(name, mounts or {}, hostUsers=False, **spec)


def first_id(cluster: Cluster, name: str) -> int:
    """The user of the node who is root in the pod; 65536 follow."""
    [inside, outside, length] = map(int, ask(cluster, name, "cat /proc/self/uid_map").split())
    [inside_group, outside_group, groups] = map(int, ask(cluster, name, "cat /proc/self/gid_map").split())
    assert (inside, length) == (inside_group, groups) == (0, 65536) and outside == outside_group
    return outside


def process(kubelet: Kubelet, name: str) -> int:
    """The pod's first process, as the node counts."""
    container = kubelet.container(name)["containerID"].partition("://")[2]
    rows = [line.split() for line in kubelet.machine.ctr("tasks", "ls").splitlines()]
    return next(int(row[1]) for row in rows if row[0] == container)


def ids(pid: int, kind: str) -> list[int]:
    """The Uid or Gid of a process, as the node counts."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{kind}:")]
    return [int(each) for each in line.split()[1:]]


def test_the_node_says_what_its_handlers_can(cluster: Cluster, kubelet: Kubelet) -> None:
    status = cluster.get("node", "node")["status"]
    can = {"recursiveReadOnlyMounts": True, "userNamespaces": True}
    assert status["runtimeHandlers"] == [{"name": "", "features": can}, {"name": "runc", "features": can}]
    assert status["features"] == {"supplementalGroupsPolicy": True}


def test_root_of_a_pod_is_no_root_of_the_node(cluster: Cluster, kubelet: Kubelet) -> None:
    nice = {"container": {"securityContext": {"capabilities": {"add": ["SYS_NICE"]}}}}
    cluster.apply(
        own("one", **nice), own("two", container={"securityContext": {"runAsUser": 7}}), pod("host", {}, **nice)
    )
    for name in ("one", "two", "host"):
        cluster.ready(name)
    one, two = first_id(cluster, "one"), first_id(cluster, "two")
    assert {one, two} == {65536, 131072} and ask(cluster, "host", "cat /proc/self/uid_map").split()[1] == "0"
    assert ids(process(kubelet, "one"), "Uid") == ids(process(kubelet, "one"), "Gid") == [one] * 4
    assert ids(process(kubelet, "two"), "Uid") == [two + 7] * 4
    assert ids(process(kubelet, "host"), "Uid") == [0] * 4
    # The same capability counts on the node for one of them only.
    assert ask(cluster, "host", "id -u; renice -n -1 -p 1").split() == ["0"]
    assert "Permission denied" in ask(cluster, "one", "renice -n -1 -p 1")
    assert ask(cluster, "one", "id -u; touch /made && stat -c %u /made").split() == ["0", "0"]


def test_volumes_belong_to_the_same_users_inside(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.kubectl("create", "configmap", "words", "--from-literal=a=hello")
    cluster.kubectl("create", "secret", "generic", "quiet", "--from-literal=b=hush")
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    name = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
    mounts = {
        "/disk": EMPTY,
        "/memory": {"volume": {"emptyDir": {"medium": "Memory"}}},
        "/words": {"volume": {"configMap": {"name": "words"}}},
        "/quiet": {"volume": {"secret": {"secretName": "quiet", "defaultMode": 0o400}}},
        "/all": {"volume": {"projected": {"sources": [token, {"downwardAPI": {"items": [name]}}]}}},
        "/part": {"volume": {"emptyDir": {}}, "subPath": "below"},
        "/host": {"volume": {"hostPath": {"path": str(kubelet.machine.dir / "shared"), "type": "DirectoryOrCreate"}}},
    }
    cluster.apply(own("mounts", mounts))
    cluster.ready("mounts")
    assert ask(cluster, "mounts", "cat /words/a /quiet/b /all/name") == "hellohushmounts"
    assert cluster.whoami(ask(cluster, "mounts", "cat /all/token")) == "system:serviceaccount:default:default"
    made = "for d in disk memory part host; do echo x > /$d/f && chown 5:6 /$d/f && stat -c %u:%g /$d/f; done"
    assert ask(cluster, "mounts", made).split() == ["5:6"] * 4
    owners = "stat -c %u /disk /memory /words /quiet/..data/b /etc/hosts /dev/termination-log"
    assert ask(cluster, "mounts", owners).split() == ["0"] * 6
    # On the disk they have the numbers that they have inside: another pod may go on with them.
    written = (kubelet.machine.dir / "shared" / "f").stat()
    assert (written.st_uid, written.st_gid) == (5, 6)
    cluster.kubectl("delete", "configmap/words", "secret/quiet")


def test_a_group_of_the_volumes_and_another_user(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(own("group", {"/disk": EMPTY}, securityContext={"fsGroup": 4242, "runAsUser": 1000, "runAsGroup": 7}))
    cluster.ready("group")
    assert ask(cluster, "group", "touch /disk/f; stat -c %u:%g /disk/f; id -u; id -g").split() == [
        "1000:4242",
        "1000",
        "7",
    ]
    first = first_id(cluster, "group")
    assert ids(process(kubelet, "group"), "Uid") == [first + 1000] * 4


def test_the_ids_stay_until_the_pod_is_gone(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(own("one", {"/disk": EMPTY}), own("two"))
    cluster.ready("one")
    cluster.ready("two")
    given = {name: first_id(cluster, name) for name in ("one", "two")}
    ask(cluster, "one", "echo x > /disk/f; kill 1")
    eventually(lambda: kubelet.container("one")["restartCount"] == 1, "a restart")
    cluster.ready("one")
    assert first_id(cluster, "one") == given["one"] and ask(cluster, "one", "cat /disk/f") == "x\n"
    kubelet.stop(signal.SIGKILL)
    kubelet.start()
    cluster.apply(own("three"))
    cluster.ready("three")
    ask(cluster, "two", "kill 1")
    eventually(lambda: kubelet.container("two")["restartCount"] == 1, "a restart by the next agent")
    cluster.ready("two")
    assert {name: first_id(cluster, name) for name in given} == given
    assert first_id(cluster, "three") == 3 * 65536
    cluster.kubectl("delete", "pod", "one", "--timeout=120s")
    eventually(lambda: "one" not in kubelet.pods(), "the end of a pod")
    eventually(lambda: len(list((kubelet.root / "pods").glob("*/userns"))) == 2, "its ids given back")
    cluster.apply(own("four"))
    cluster.ready("four")
    assert first_id(cluster, "four") == given["one"]


def test_a_sandbox_made_anew_has_the_same_ids(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(own("one", {"/disk": EMPTY}))
    before = cluster.ready("one")["status"]["podIP"]
    given = first_id(cluster, "one")
    ask(cluster, "one", "echo x > /disk/f")
    rows = [line.split() for line in kubelet.machine.ctr("containers", "ls").splitlines()[1:]]
    [pause] = [row[0] for row in rows if "pause" in row[1]]
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", pause)
    eventually(lambda: cluster.pod("one")["status"].get("podIP") not in (before, None), "another sandbox")
    cluster.ready("one")
    eventually(lambda: ask(cluster, "one", "cat /disk/f") == "x\n", "its volume")
    assert first_id(cluster, "one") == given


def test_who_cannot_have_them_is_told_why(cluster: Cluster, kubelet: Kubelet) -> None:
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "odd"}, "handler": "odd"}
    cluster.apply(runtime, own("odd", runtimeClassName="odd"))
    why = 'RuntimeClass handler "odd" does not support user namespaces: the handler "odd" is not known'
    told(cluster, f"Failed to create pod sandbox: can't set `spec.hostUsers: false`, {why}")
    cluster.kubectl("delete", "runtimeclass", "odd")
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        said = refused(cluster, own("x", **{field: True}))
        assert f"spec.{shown}: Forbidden: when `pod.Spec.HostUsers` is false" in said
