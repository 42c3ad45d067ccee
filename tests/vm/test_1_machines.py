"""Each machine from the inside: units, files, certificates, sockets, containerd, CNI, rules, routes."""

from __future__ import annotations

import datetime
import ipaddress
import time

import pytest
from cryptography import x509

from provisioner.spec import ControlPlane, Driver, Machine, PodNetwork, ProxyMode
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

SECRETS_MASTER = [
    "/etc/kubernetes/pki/ca.key",
    "/etc/kubernetes/pki/apiserver.key",
    "/etc/kubernetes/pki/sa.key",
    "/etc/kubernetes/pki/etcd/ca.key",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
]
CERTIFICATES_MASTER = [
    "apiserver",
    "apiserver-kubelet-client",
    "apiserver-etcd-client",
    "front-proxy-client",
    "etcd/server",
    "etcd/peer",
    "etcd/healthcheck-client",
]


@pytest.mark.parametrize("unit", ["containerd", "kubelet", "kube-proxy"])
def test_unit_is_running(cluster: Cluster, machine: Machine, unit: str) -> None:
    assert cluster.on(machine, f"systemctl is-active {unit}") == "active"
    assert cluster.on(machine, f"systemctl is-enabled {unit}") == "enabled"


def test_registry_is_running(cluster: Cluster, master: Machine) -> None:
    assert cluster.on(master, "systemctl is-active docker-registry") == "active"
    assert "library/nginx" in cluster.on(master, "curl -fsS http://127.0.0.1:5000/v2/_catalog")


def test_time_runs_as_fast_as_on_the_host(cluster: Cluster, machine: Machine) -> None:
    looks: list[tuple[float, float]] = []
    while not looks or looks[-1][0] - looks[0][0] < 3:
        looks.append((time.monotonic(), float(cluster.on(machine, "cut -d' ' -f1 /proc/uptime"))))
    passed = [last - first for first, last in zip(looks[0], looks[-1], strict=True)]
    assert passed[1] == pytest.approx(passed[0], rel=0.3)  # what two logins may differ by


def test_hostname_and_hosts(cluster: Cluster, machine: Machine) -> None:
    assert cluster.on(machine, "hostname") == machine.name
    hosts = cluster.on(machine, "cat /etc/hosts")
    for other in cluster.lab.machines:
        assert f"{other.ip}\t{other.name}" in hosts


@pytest.mark.parametrize(
    "path", ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/kube-proxy.conf", "/var/lib/kubelet/pki/kubelet.key"]
)
def test_secret_is_closed(cluster: Cluster, machine: Machine, path: str) -> None:
    assert cluster.on(machine, f"stat -c '%a %U' {path}") == "600 root"


@pytest.mark.parametrize("path", SECRETS_MASTER)
def test_master_secret_is_closed(cluster: Cluster, master: Machine, path: str) -> None:
    assert cluster.on(master, f"stat -c '%a %U' {path}") == "600 root"


def test_worker_has_no_cluster_key(cluster: Cluster, worker: Machine) -> None:
    assert cluster.on(worker, "find /etc/kubernetes -name '*.key' -o -name 'admin.conf'") == ""


@pytest.mark.parametrize("name", CERTIFICATES_MASTER)
def test_certificate_is_valid_and_signed_by_its_authority(cluster: Cluster, master: Machine, name: str) -> None:
    pki = "/etc/kubernetes/pki"
    authority = "front-proxy-ca" if name.startswith("front-proxy") else "ca"
    # etcd trusts an authority of its own, which also signs the API server's client certificate for it.
    folder = "etcd/" if "etcd" in name else ""
    cert = x509.load_pem_x509_certificate(cluster.on(master, f"cat {pki}/{name}.crt").encode())
    ca = x509.load_pem_x509_certificate(cluster.on(master, f"cat {pki}/{folder}{authority}.crt").encode())
    cert.verify_directly_issued_by(ca)
    now = datetime.datetime.now(datetime.UTC)
    assert cert.not_valid_before_utc < now < cert.not_valid_after_utc


def test_api_server_certificate_names(cluster: Cluster, master: Machine) -> None:
    cert = x509.load_pem_x509_certificate(cluster.on(master, "cat /etc/kubernetes/pki/apiserver.crt").encode())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"kubernetes", "kubernetes.default.svc", master.name} <= set(names.get_values_for_type(x509.DNSName))
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {cluster.lab.service_ip, master.ip} <= addresses


def test_the_disk_is_as_large_as_the_lab_says(cluster: Cluster, machine: Machine) -> None:
    if cluster.lab.driver is Driver.NETNS:
        return  # the host's
    size = int(cluster.on(machine, "df --block-size=1 --output=size / | tail -1"))
    assert 0.9 * machine.size.disk < size <= machine.size.disk


def test_pods_are_in_slices_of_systemd(cluster: Cluster, machine: Machine) -> None:
    """Kubelet and runtime agree, and on a machine with systemd both leave its cgroups to it, as kubeadm's do."""
    if cluster.lab.driver is Driver.NETNS:
        assert "cgroupDriver: cgroupfs" in cluster.on(machine, "cat /var/lib/kubelet/config.yaml")
        return
    assert "cgroupDriver: systemd" in cluster.on(machine, "cat /var/lib/kubelet/config.yaml")
    assert cluster.on(machine, "systemctl is-active kubepods.slice") == "active"

    def look() -> bool:
        running = {
            f"cri-containerd-{each}.scope" for each in cluster.on(machine, "ctr -n k8s.io tasks list -q").split()
        }
        units = cluster.on(machine, "systemctl list-units --no-legend --plain 'cri-containerd-*.scope'").splitlines()
        assert running == {unit.split()[0] for unit in units}, units
        return bool(running) or not machine.is_master or cluster.lab.control_plane is ControlPlane.SERVICE

    until("every container is in a scope of systemd", look, 60)
    limit = int(cluster.on(machine, "systemctl show --value --property MemoryMax kubepods.slice"))
    assert limit == int(cluster.on(machine, "cat /sys/fs/cgroup/kubepods.slice/memory.max"))


@pytest.mark.parametrize("port", [10250, 10256])
def test_node_listens(cluster: Cluster, machine: Machine, port: int) -> None:
    assert f":{port} " in cluster.on(machine, "ss -Hltn") + " "


@pytest.mark.parametrize("port", [6443, 2379, 2380, 5000])
def test_master_listens(cluster: Cluster, master: Machine, port: int) -> None:
    assert f":{port} " in cluster.on(master, "ss -Hltn") + " "


def test_kubelet_health_is_local_and_ok(cluster: Cluster, machine: Machine) -> None:
    assert cluster.on(machine, "curl -fsS http://127.0.0.1:10248/healthz") == "ok"
    assert "127.0.0.1:10248" in cluster.on(machine, "ss -Hltn")


def test_containerd_holds_the_images(cluster: Cluster, machine: Machine) -> None:
    images = cluster.on(machine, "ctr -n k8s.io images list -q")
    assert "registry.k8s.io/pause:3.10" in images
    assert "docker.io/library/nginx:latest" in images


def test_pulls_go_to_the_lab_registry(cluster: Cluster, machine: Machine) -> None:
    for registry in ("docker.io", "registry.k8s.io", "_default"):
        hosts = cluster.on(machine, f"cat /etc/containerd/certs.d/{registry}/hosts.toml")
        assert f'[host."http://{cluster.lab.master.name}:5000"]' in hosts


def test_cni_is_configured(cluster: Cluster, machine: Machine) -> None:
    assert "kubelab-bridge" in cluster.on(machine, "cat /etc/cni/net.d/*.conflist")
    assert cluster.on(machine, "stat -c %a /opt/cni/bin/kubelab-bridge") == "755"


def test_kernel_forwards_and_filters_bridges(cluster: Cluster, machine: Machine) -> None:
    assert cluster.on(machine, "cat /proc/sys/net/ipv4/ip_forward") == "1"
    assert cluster.on(machine, "cat /proc/sys/net/bridge/bridge-nf-call-iptables") == "1"


def test_routes_to_the_other_nodes_pods(cluster: Cluster, machine: Machine) -> None:
    nodes = {node["metadata"]["name"]: node for node in cluster.get("nodes")["items"]}

    def look() -> bool:
        routes = cluster.on(machine, "ip -4 route show")
        for other in cluster.lab.machines:
            if other.name != machine.name:
                subnet = nodes[other.name]["spec"]["podCIDR"]
                tunnel = f"{ipaddress.ip_network(subnet).network_address} dev kubelab-vxlan"
                gateway = tunnel if cluster.lab.pod_network is PodNetwork.VXLAN else f"{other.ip} dev"
                assert f"{subnet} via {gateway}" in routes, routes
        return True

    until(f"{machine.name} has a route to each other node's pods", look, 60)


def test_pod_networks_are_of_the_cluster_and_distinct(cluster: Cluster) -> None:
    networks = [ipaddress.IPv4Network(node["spec"]["podCIDR"]) for node in cluster.get("nodes")["items"]]
    assert all(network.subnet_of(cluster.lab.pod_cidr) for network in networks)
    assert len(set(networks)) == len(cluster.lab.machines)


def test_service_rules(cluster: Cluster, machine: Machine) -> None:
    rules, address = cluster.service_rules(machine), cluster.lab.service_ip
    if cluster.lab.proxy_mode is ProxyMode.NFTABLES:
        assert "map service-ips {" in rules
        assert f"{address} . tcp . 443" in rules
    else:
        assert ":KUBE-SERVICES " in rules
        assert f"-d {address}/32 -p tcp" in rules


def test_control_plane_runs_as_the_lab_says(cluster: Cluster, master: Machine) -> None:
    manifests = cluster.on(master, "ls /etc/kubernetes/manifests 2>/dev/null || true").split()
    if cluster.lab.control_plane is ControlPlane.SERVICE:
        assert manifests == []
        assert cluster.on(master, "systemctl is-active kubelab-control-plane etcd").split() == ["active", "active"]
    else:
        names = ["etcd.yaml", "kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml"]
        assert manifests == names
        pods = cluster.kubectl("-n", "kube-system", "get", "pods", "-o", "name")
        for name in names:
            assert f"pod/{name.removesuffix('.yaml')}-{master.name}" in pods
    if cluster.lab.shared_ip:
        assert cluster.on(master, "systemctl is-active keepalived") == "active"
