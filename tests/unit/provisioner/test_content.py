"""The files that machines get: kubeadm's names, modes and fields; keys only where they belong."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from apimachinery.client.pki import Cluster, ensure_cluster_pki, ensure_kubelet_serving
from provisioner.content import machine_files, machine_units
from provisioner.drivers.base import Local
from provisioner.rendering import render
from provisioner.shell import File
from provisioner.spec import Lab
from provisioner.specfile import parse_lab
from provisioner.steps.machine import folders

LAB = parse_lab("")
LOCAL = Local(cgroup_root="", python="/usr/bin/python3")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    nodes = [machine.name for machine in LAB.machines]
    ensure_cluster_pki(folder, Cluster(endpoint=LAB.endpoint, masters={"master-1": LAB.master.ip}, nodes=nodes))
    for machine in LAB.machines:
        ensure_kubelet_serving(folder, machine.name, [machine.ip])
    return folder


def files(secrets: Path, name: str, lab: Lab = LAB) -> dict[str, File]:
    return machine_files(lab, lab.machine(name), secrets, "c0de", LOCAL)


def test_keys_and_kubeconfigs_are_closed(secrets: Path) -> None:
    for name in ("master-1", "worker-1"):
        for path, file in files(secrets, name).items():
            if path.endswith((".key", ".conf")) and not path.endswith("10-kubeadm.conf"):
                assert file.mode == 0o600, path


def test_a_worker_gets_no_key_but_its_own(secrets: Path) -> None:
    given = files(secrets, "worker-1")
    assert [path for path in given if path.endswith(".key")] == ["/var/lib/kubelet/pki/kubelet.key"]
    assert [path for path in given if path.startswith("/etc/kubernetes/") and path.endswith(".conf")] == [
        "/etc/kubernetes/kubelet.conf",
        "/etc/kubernetes/kube-proxy.conf",
    ]
    own = yaml.safe_load(given["/etc/kubernetes/kubelet.conf"].data)
    assert own["users"][0]["name"] == "system:node:worker-1"
    assert not [path for path in given if "manifests" in path]


def test_a_master_has_no_serving_key_of_another(secrets: Path) -> None:
    assert not [path for path in files(secrets, "master-1") if "kubelet-worker" in path]


@pytest.mark.parametrize("component", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_static_pods_are_laid_out_as_kubeadm_does(secrets: Path, component: str) -> None:
    pod = yaml.safe_load(files(secrets, "master-1")[f"/etc/kubernetes/manifests/{component}.yaml"].data)
    assert pod["metadata"]["name"] == component
    assert pod["metadata"]["labels"] == {"component": component, "tier": "control-plane"}
    spec = pod["spec"]
    assert (spec["hostNetwork"], spec["priorityClassName"]) == (True, "system-node-critical")
    container = spec["containers"][0]
    assert container["command"][0] == component
    assert {"livenessProbe", "startupProbe", "resources"} <= container.keys()
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    for word in container["command"][1:]:
        flag, _, value = word.partition("=")
        assert flag.startswith("--") and value


def test_etcd_is_asked_as_kubeadm_has_it_asked(secrets: Path) -> None:
    pod = yaml.safe_load(files(secrets, "master-1")["/etc/kubernetes/manifests/etcd.yaml"].data)
    container = pod["spec"]["containers"][0]
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "readiness", "startup")}
    assert asked == {"liveness": "/livez", "readiness": "/readyz", "startup": "/readyz"}


def test_files_named_by_flags_are_mounted_and_there(secrets: Path) -> None:
    given = files(secrets, "master-1")
    for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        pod = yaml.safe_load(given[f"/etc/kubernetes/manifests/{component}.yaml"].data)
        mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
        for word in pod["spec"]["containers"][0]["command"][1:]:
            value = word.partition("=")[2]
            if value.startswith("/etc/kubernetes/"):
                assert value in given, word
                assert any(value == mount or value.startswith(f"{mount}/") for mount in mounts), word


def test_changed_code_makes_another_static_pod(secrets: Path) -> None:
    machine, path = LAB.master, "/etc/kubernetes/manifests/kube-scheduler.yaml"
    texts = {machine_files(LAB, machine, secrets, code, LOCAL)[path].data for code in ("one", "two")}
    assert len(texts) == 2


def test_several_masters_share_an_address(secrets: Path, tmp_path: Path) -> None:
    lab = parse_lab("masters: 2")
    masters = {machine.name: machine.ip for machine in lab.all_masters}
    ensure_cluster_pki(tmp_path, Cluster(endpoint=lab.endpoint, masters=masters, nodes=[*masters, "worker-1"]))
    for machine in lab.all_masters:
        ensure_kubelet_serving(tmp_path, machine.name, [machine.ip])
    first, second = (files(tmp_path, name, lab) for name in masters)
    assert lab.endpoint == "https://192.168.60.10:6443"
    assert "keepalived.service" in [unit.name for unit in machine_units(lab, lab.master, first)]
    one, two = (given["/etc/keepalived/keepalived.conf"].data.decode() for given in (first, second))
    assert "192.168.60.10/32" in one and "priority 100" in one and "priority 99" in two
    assert "unicast_src_ip 192.168.60.11" in one and "\n        192.168.60.12\n" in one
    registries = first["/etc/containerd/certs.d/docker.io/hosts.toml"].data.decode()
    assert registries.index("http://master-1:5000") < registries.index("http://master-2:5000")
    members = "--initial-cluster=master-1=https://192.168.60.11:2380,master-2=https://192.168.60.12:2380"
    assert members in first["/etc/kubernetes/manifests/etcd.yaml"].data.decode()
    assert not [path for path in files(secrets, "master-1") if "keepalived" in path]


def test_control_plane_as_a_service_has_units_and_no_static_pods(secrets: Path) -> None:
    lab = parse_lab("controlPlane: service")
    given = files(secrets, "master-1", lab)
    assert not [path for path in given if "manifests" in path]
    names = [unit.name for unit in machine_units(lab, lab.master, given)]
    assert names == [
        "docker-registry.service",
        "etcd.service",
        "kubelab-control-plane.service",
        "kubelet.service",
        "kube-proxy.service",
    ]
    text = given["/etc/systemd/system/kubelab-control-plane.service"].data.decode()
    assert "--store=https://127.0.0.1:2379" in text


@pytest.mark.parametrize(("how", "name", "made"), [
    ("static-pods", "master-1", True), ("static-pods", "worker-1", False), ("service", "master-1", False),
])  # fmt: skip
def test_etcds_data_are_roots_alone_where_a_pod_has_them(how: str, name: str, made: bool) -> None:
    """A DirectoryOrCreate that is not there would be 0755; the unit's is its package's."""
    lab = parse_lab(f"controlPlane: {how}")
    [machine] = [each for each in lab.machines if each.name == name]
    assert folders(lab, machine) == ("install -d -m 0700 /var/lib/etcd && " if made else "")


def test_every_file_that_restarts_a_unit_exists(secrets: Path) -> None:
    for text in ("", "controlPlane: service"):
        lab = parse_lab(text)
        for machine in lab.machines:
            given = files(secrets, machine.name, lab)
            for unit in machine_units(lab, machine, given):
                assert set(unit.files) <= set(given)


def test_kubelet_configuration(secrets: Path) -> None:
    master = yaml.safe_load(files(secrets, "master-1")["/var/lib/kubelet/config.yaml"].data)
    worker = yaml.safe_load(files(secrets, "worker-1")["/var/lib/kubelet/config.yaml"].data)
    assert master["registerWithTaints"] == [{"effect": "NoSchedule", "key": "node-role.kubernetes.io/control-plane"}]
    assert "registerWithTaints" not in worker and "cgroupRoot" not in worker
    assert worker["clusterDNS"] == ["10.96.0.10"]
    nested = machine_files(LAB, LAB.machines[1], secrets, "c", Local("/kubelab-lab/worker-1", "/usr/bin/python3"))
    assert yaml.safe_load(nested["/var/lib/kubelet/config.yaml"].data)["cgroupRoot"] == "/kubelab-lab/worker-1"


def test_programs_can_be_run(secrets: Path) -> None:
    given = files(secrets, "master-1")
    for path in ("/usr/local/bin/kubelet", "/usr/local/bin/crictl", "/opt/cni/bin/kubelab-bridge"):
        assert given[path].mode & stat.S_IXUSR
        assert given[path].data.startswith(b"#!")


def test_mirrors_fall_through_to_the_real_registries(secrets: Path) -> None:
    text = files(secrets, "worker-1")["/etc/containerd/certs.d/docker.io/hosts.toml"].data.decode()
    assert 'server = "https://registry-1.docker.io"' in text
    assert '[host."http://master-1:5000"]' in text


def test_any_other_registry_is_asked_by_its_own_name_after_the_labs(secrets: Path) -> None:
    text = files(secrets, "worker-1")["/etc/containerd/certs.d/_default/hosts.toml"].data.decode()
    assert '[host."http://master-1:5000"]' in text
    assert "server =" not in text


def test_addons_are_kubeadms() -> None:
    objects = list(yaml.safe_load_all(render("addons.yaml.j2", lab=LAB, image="dns", code="c", authority="Q0E=")))
    kinds = {(each["kind"], each["metadata"]["name"]) for each in objects}
    assert {("ConfigMap", "coredns"), ("Deployment", "coredns"), ("Service", "kube-dns")} <= kinds
    assert ("ClusterRoleBinding", "kubeadm:cluster-admins") in kinds
    info = next(each for each in objects if each["metadata"]["name"] == "cluster-info")
    assert info["metadata"]["namespace"] == "kube-public"
    [named] = yaml.safe_load(info["data"]["kubeconfig"])["clusters"]
    assert named["cluster"] == {"certificate-authority-data": "Q0E=", "server": LAB.endpoint}
    service = next(each for each in objects if each["kind"] == "Service")
    assert service["spec"]["clusterIP"] == "10.96.0.10"
    storage = next(each for each in objects if each["kind"] == "StorageClass")
    assert storage["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert (storage["provisioner"], storage["volumeBindingMode"]) == ("kubelab.io/local-path", "WaitForFirstConsumer")


def test_metrics_server_is_upstreams() -> None:
    objects = list(yaml.safe_load_all(render("metrics-server.yaml.j2", image="x", code="c")))
    kinds = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert kinds[-1] == ("APIService", "v1beta1.metrics.k8s.io") and ("Service", "metrics-server") in kinds
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert "--metric-resolution=15s" in container["args"]
    assert not any("insecure" in flag for flag in container["args"])


def test_plugins_ask_the_agent_where_the_executable_could_be_compiled(secrets: Path) -> None:
    machine = LAB.machine("worker-1")
    plain = machine_files(LAB, machine, secrets, "c", LOCAL)
    assert plain["/opt/cni/bin/loopback"].data.startswith(b"#!/usr/bin/python3 -IS\n")
    assert "/opt/cni/bin/kubelab-cni" not in plain
    asking = machine_files(LAB, machine, secrets, "c", LOCAL, b"ELF")
    assert asking["/opt/cni/bin/kubelab-cni"] == File(b"ELF", 0o755)
    assert asking["/opt/cni/bin/loopback"].data.startswith(b"#!/opt/cni/bin/kubelab-cni /usr/bin/python3\n")
