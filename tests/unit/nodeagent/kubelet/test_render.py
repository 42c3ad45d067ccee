"""Sandboxes, containers, mounts, security, DNS, QoS, cgroups: pure renderings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from apimachinery.meta.pod_resources import qos_class
from nodeagent.cri import messages as cri
from nodeagent.kubelet import dns, qos
from nodeagent.kubelet.environment import ConfigProblem
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.runtime.render import ContainerInputs, plan_mounts, render_container, render_sandbox
from nodeagent.kubelet.volumes.manager import HostVolume


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "busybox", **(container or {})}], **spec},
    }


def sandbox(wanted: dict[str, Any]) -> cri.PodSandboxConfig:
    return render_sandbox(
        wanted,
        attempt=2,
        cgroup_parent="/kubepods/podu",
        resolver=dns.Resolver(("10.96.0.10",), ("a",), ("ndots:5",)),
        cluster_domain="cluster.local",
        paths=Paths(Path("/k")),
    )


def container(wanted: dict[str, Any], **inputs: Any) -> cri.ContainerConfig:
    return render_container(wanted, wanted["spec"]["containers"][0], ContainerInputs("sha256:1", **inputs))


def test_sandbox() -> None:
    made = sandbox(pod({"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}, hostname="h"))
    assert (made.metadata.attempt, made.hostname, made.log_directory) == (2, "h", "/var/log/pods/n_p_u")
    assert [(m.container_port, m.host_port) for m in made.port_mappings] == [(80, 8080)]
    assert dict(made.labels) == {
        "app": "x",
        "io.kubernetes.pod.name": "p",
        "io.kubernetes.pod.namespace": "n",
        "io.kubernetes.pod.uid": "u",
    }
    assert list(made.dns_config.servers) == ["10.96.0.10"] and made.linux.cgroup_parent == "/kubepods/podu"


def test_a_whole_domain_as_host_name_is_64_characters_at_the_most() -> None:
    named = {"subdomain": "s", "setHostnameAsFQDN": True}
    rest = ".s.n.svc.cluster.local"
    assert sandbox(pod(hostname="h" * 42, **named)).hostname == "h" * 42 + rest
    with pytest.raises(dns.NameTooLong) as refused:
        sandbox(pod(hostname="h" * 43, **named))
    assert str(refused.value) == (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {'h' * 43}{rest} is too long "
        "(64 characters is the max, 65 characters requested)"
    )


def test_host_namespaces() -> None:
    made = sandbox(pod({"ports": [{"containerPort": 80, "hostPort": 80}]}, hostNetwork=True, hostPID=True))
    options = made.linux.security_context.namespace_options
    assert (options.network, options.pid, options.ipc) == (cri.NODE, cri.NODE, cri.POD)
    assert made.hostname == "" and not made.port_mappings


def test_container() -> None:
    made = container(
        pod(
            {
                "command": ["sh", "-c", "$(A)"],
                "args": ["$$(A)"],
                "tty": True,
                "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
            }
        ),
        env={"A": "1"},
        restart_count=3,
        node_memory=1 << 30,
    )
    assert list(made.command) == ["sh", "-c", "1"] and list(made.args) == ["$(A)"] and made.tty
    assert (made.metadata.attempt, made.log_path) == (3, "c/3.log")
    resources = made.linux.resources
    assert (resources.cpu_shares, resources.cpu_quota, resources.memory_limit_in_bytes) == (512, 50_000, 64 << 20)
    assert made.annotations["io.kubernetes.container.restartCount"] == "3"


def test_security_context_inherits_and_overrides() -> None:
    made = container(
        pod(
            {
                "securityContext": {
                    "runAsUser": 7,
                    "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                }
            },
            securityContext={
                "runAsUser": 5,
                "runAsGroup": 6,
                "fsGroup": 9,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        )
    ).linux.security_context
    assert (made.run_as_user.value, made.run_as_group.value, list(made.supplemental_groups)) == (7, 6, [9])
    assert list(made.capabilities.add_capabilities) == ["NET_ADMIN"] and made.readonly_rootfs and made.no_new_privs
    assert made.seccomp.profile_type == cri.SecurityProfile.RuntimeDefault and "/proc/kcore" in made.masked_paths


def test_privileged_masks_nothing() -> None:
    made = container(pod({"securityContext": {"privileged": True}})).linux.security_context
    assert made.privileged and not made.masked_paths and made.seccomp.profile_type == cri.SecurityProfile.Unconfined


@pytest.mark.parametrize(
    ("context", "image", "message"),
    [
        ({"runAsUser": 0}, cri.Image(), "breaks non-root policy"),
        ({}, cri.Image(), "image will run as root"),
        ({}, cri.Image(username="www"), "non-numeric user (www)"),
        ({"runAsUser": 5}, cri.Image(), None),
        ({}, cri.Image(uid=cri.Int64Value(value=1000)), None),
    ],
)
def test_run_as_non_root(context: dict[str, Any], image: cri.Image, message: str | None) -> None:
    wanted = pod({"securityContext": {"runAsNonRoot": True, **context}})
    if message is None:
        assert container(wanted, image=image).linux.security_context.run_as_user.value in (5, 1000)
        return
    with pytest.raises(ConfigProblem) as refused:
        container(wanted, image=image)
    assert message in str(refused.value)


def test_mounts() -> None:
    volumes = {"v": HostVolume(Path("/v")), "ro": HostVolume(Path("/ro"), writable=False)}
    asked: dict[str, Any] = {
        "name": "c",
        "volumeMounts": [
            {"name": "v", "mountPath": "/a"},
            {"name": "ro", "mountPath": "/b"},
            {
                "name": "v",
                "mountPath": "c",
                "subPathExpr": "x/$(A)",
                "readOnly": True,
                "mountPropagation": "Bidirectional",
            },
        ],
    }
    plans = plan_mounts(asked, volumes, {"A": "1"})
    assert [(p.mount.container_path, p.mount.readonly, p.subpath) for p in plans] == [
        ("/a", False, ""),
        ("/b", True, ""),
        ("/c", True, "x/1"),
    ]
    assert plans[2].mount.propagation == cri.PROPAGATION_BIDIRECTIONAL
    [brought] = plan_mounts(
        {"name": "c", "volumeMounts": [{"name": "i", "mountPath": "models", "readOnly": True}]},
        volumes,
        {},
        images={"i": cri.ImageSpec(image="sha256:1")},
    )
    assert brought.volume is None and brought.mount == cri.Mount(
        container_path="/models", image=cri.ImageSpec(image="sha256:1"), readonly=True
    ), "only the runtime knows where it is"
    with pytest.raises(ConfigProblem, match="cannot find volume"):
        plan_mounts({"name": "c", "volumeMounts": [{"name": "no", "mountPath": "/a"}]}, volumes, {})
    for env in ({}, {"A": ""}):
        with pytest.raises(ConfigProblem, match=r"^missing value for A$"):
            plan_mounts(asked, volumes, env)
    asked["volumeMounts"][2]["subPathExpr"] = "$$(A)"
    assert plan_mounts(asked, volumes, {})[2].subpath == "$(A)"


QOS: dict[str, list[dict[str, Any]]] = {
    "BestEffort": [{}],
    "Burstable": [{"requests": {"cpu": "1"}}, {"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "500m"}}],
    "Guaranteed": [{"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "1000m", "memory": "1Mi"}}],
}


@pytest.mark.parametrize(("quality", "resources"), [(name, entry) for name, listed in QOS.items() for entry in listed])
def test_qos(quality: str, resources: dict[str, Any]) -> None:
    assert qos_class(pod({"resources": resources})) == quality


def test_oom_score() -> None:
    half = pod({"resources": {"requests": {"memory": "512Mi"}}})
    assert qos.oom_score_adj(half, half["spec"]["containers"][0], 1 << 30) == 500
    assert qos.oom_score_adj(pod(), pod()["spec"]["containers"][0], 1 << 30) == 1000
    assert qos.oom_score_adj(pod(priority=2_000_001_000), {}, 1 << 30) == -997


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_cpu_weight(shares: int, weight: int) -> None:
    assert qos.cpu_weight(shares) == weight


HOST = dns.parse_resolv_conf("# x\nnameserver 192.0.2.53\nsearch corp.example\noptions timeout:2\n")


@pytest.mark.parametrize(
    ("spec", "servers", "searches", "options"),
    [
        ({}, ("10.96.0.10",), ("n.svc.c", "svc.c", "c", "corp.example"), ("ndots:5",)),
        ({"hostNetwork": True}, ("192.0.2.53",), ("corp.example",), ("timeout:2",)),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            ("10.96.0.10",),
            ("n.svc.c", "svc.c", "c", "corp.example"),
            ("ndots:5",),
        ),
        ({"dnsPolicy": "Default"}, ("192.0.2.53",), ("corp.example",), ("timeout:2",)),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["x"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            ("1.1.1.1",),
            ("x",),
            ("ndots:2", "edns0"),
        ),
    ],
)
def test_dns(spec: dict[str, Any], servers: Any, searches: Any, options: Any) -> None:
    assert dns.pod_resolver(pod(**spec), HOST, ["10.96.0.10"], "c") == dns.Resolver(servers, searches, options)


def warned(wanted: dict[str, Any], host: dns.Resolver, servers: tuple[str, ...]) -> tuple[dns.Resolver, list[str]]:
    said: list[str] = []
    found = dns.pod_resolver(wanted, host, servers, "c", lambda reason, message: said.append(f"{reason} {message}"))
    return found, said


def test_a_resolver_is_cut_to_what_libraries_take_and_the_pod_is_told() -> None:
    config = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": ["l" * 254, *"abcdefghijklmnopqrstuvwxyz"]}
    found, said = warned(pod(dnsConfig=config), HOST, ("10.96.0.10",))
    assert (found.servers, len(found.searches)) == (("10.96.0.10", "1.1.1.1", "2.2.2.2"), 29)
    assert said == [
        "DNSConfigForming Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver "
        "line is: 10.96.0.10 1.1.1.1 2.2.2.2",
        "DNSConfigForming Search Line limits were exceeded, some search paths have been omitted, the applied search "
        "line is: n.svc.c svc.c c corp.example a b d e f g h i j k l m n o p q r s t u v w x y z",
    ]
    many = [f"{number}{'s' * 197}" for number in range(10, 30)]
    found, said = warned(pod(dnsPolicy="None", dnsConfig={"searches": many}), HOST, ())
    assert list(found.searches) == many[:10] and len(said) == 1, "ten and their spaces are 1999 characters"
    assert warned(pod(), HOST, ("10.96.0.10",))[1] == []


def test_without_a_cluster_dns_the_nodes_is_used_and_the_pod_is_told() -> None:
    found, said = warned(pod(), HOST, ())
    assert found == HOST
    assert said == [
        'MissingClusterDNS pod: "p_n(u)". kubelet does not have ClusterDNS IP configured and cannot create Pod using '
        '"ClusterFirst" policy. Falling back to "Default" policy.'
    ]
    assert warned(pod(hostNetwork=True), HOST, ()) == (HOST, [])


def test_a_node_without_a_resolv_conf_resolves_nothing() -> None:
    assert warned(pod(dnsPolicy="Default"), dns.Resolver(), ())[0] == dns.Resolver(("127.0.0.1",), (".",))
    assert warned(pod(), dns.Resolver(), ("10.96.0.10",))[0].searches == ("n.svc.c", "svc.c", "c")


def test_what_counts_of_a_resolv_conf() -> None:
    text = "domain x\nsearch old\nsearch a.example. . b\noptions ndots:1\n; c\nnameserver 192.0.2.1\nnameserver\n"
    assert dns.parse_resolv_conf(text) == dns.Resolver(("192.0.2.1",), ("a.example", "b"), ("ndots:1",))


def test_the_nodes_resolv_conf_is_read_anew_and_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    with pytest.raises(dns.NoResolvConf, match=f"^open {re.escape(str(file))}: no such file or directory$"):
        dns.host_resolver(file)
    for server in ("192.0.2.1", "192.0.2.2"):
        file.write_text(f"nameserver {server}\n")
        assert dns.host_resolver(file) == dns.Resolver((server,))
    assert dns.host_resolver(None) == dns.Resolver()


def test_hosts() -> None:
    text = dns.render_hosts(
        pod(hostname="h", subdomain="s", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}]),
        ["10.0.0.1"],
        "",
        "c",
    )
    assert "\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\n" in text
    assert "10.0.0.1\th.s.n.svc.c\th\n" in text and text.endswith("1.2.3.4\tx\ty\n")
    assert dns.render_hosts(pod(hostNetwork=True), [], "127.0.0.1 me\n", "c").splitlines()[1] == "127.0.0.1 me"
