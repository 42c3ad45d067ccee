"""lab.yaml: what is read, and that everything wrong is told at once with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import BadInput
from provisioner.spec import MIB, ControlPlane, Driver, ProxyMode
from provisioner.specfile import load_lab, parse_lab, read_text
from provisioner.specjson import dump_lab, restore_lab


def problems(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_lab(text)
    return list(caught.value.problems)


def test_the_default_file_is_the_defaults() -> None:
    shipped = load_lab(Path(__file__).parents[3] / "lab.yaml")
    assert shipped == parse_lab("")


def test_names_addresses_and_macs_are_fixed() -> None:
    lab = parse_lab("workers: 3\n")
    assert [(m.name, m.ip) for m in lab.machines] == [
        ("master-1", "192.168.60.11"),
        ("worker-1", "192.168.60.21"),
        ("worker-2", "192.168.60.22"),
        ("worker-3", "192.168.60.23"),
    ]
    assert [m.mac for m in lab.machines[:3]] == [m.mac for m in parse_lab("workers: 2").machines]
    assert len({m.mac for m in lab.machines}) == 4
    assert all(m.mac.startswith("52:54:00:") for m in lab.machines)
    assert {m.mac for m in parse_lab("name: other").machines}.isdisjoint(m.mac for m in lab.machines)


def test_addresses_that_follow_from_the_networks() -> None:
    lab = parse_lab("network: 10.9.8.0/24\nserviceCIDR: 10.32.0.0/16\n")
    assert (lab.gateway, lab.service_ip, lab.dns_ip) == ("10.9.8.1", "10.32.0.1", "10.32.0.10")
    assert lab.endpoint == "https://10.9.8.11:6443"


def test_sizes_for_all_for_a_group_and_by_default() -> None:
    lab = parse_lab("memory: 3Gi\nmasters: {vcpus: 4}\nworkers: {count: 1, memory: 768Mi}\n")
    assert (lab.masters.size.vcpus, lab.masters.size.memory) == (4, 3072 * MIB)
    assert (lab.workers.count, lab.workers.size.vcpus, lab.workers.size.memory) == (1, 1, 768 * MIB)


def test_choices() -> None:
    lab = parse_lab("driver: netns\nproxyMode: nftables\ncontrolPlane: service\n")
    assert (lab.driver, lab.proxy_mode, lab.control_plane) == (Driver.NETNS, ProxyMode.NFTABLES, ControlPlane.SERVICE)
    assert parse_lab("", driver="netns").driver is Driver.NETNS
    assert (parse_lab("").pod_network, parse_lab("podNetwork: vxlan").pod_network) == ("auto", "vxlan")


def test_pods_of_both_families() -> None:
    lab = parse_lab("podCIDRv6: fd00:244::/48")
    assert (parse_lab("").pod_cidrs, lab.pod_cidrs) == ("10.244.0.0/16", "10.244.0.0/16,fd00:244::/48")
    assert restore_lab(dump_lab(lab)) == lab
    both = parse_lab("podCIDRv6: fd00:244::/48\nserviceCIDRv6: fd00:10:96::/112")
    assert (lab.service_cidrs, both.service_cidrs) == ("10.96.0.0/12", "10.96.0.0/12,fd00:10:96::/112")
    assert restore_lab(dump_lab(both)) == both


BOTH = "networkv6: fd00:60::/64\npodCIDRv6: fd00:244::/48\nserviceCIDRv6: fd00:10:96::/112\n"


def test_machines_of_both_families() -> None:
    lab = parse_lab(BOTH)
    worker = lab.machine("worker-2")
    assert worker.ips == ("192.168.60.22", "fd00:60::22")
    assert lab.with_prefix(worker) == ("192.168.60.22/24", "fd00:60::22/64")
    assert (lab.gateways, lab.dns_ips) == (("192.168.60.1", "fd00:60::1"), ("10.96.0.10", "fd00:10:96::a"))
    assert (lab.balancer_ranges, parse_lab("").master.ips) == ((), ("192.168.60.11",))
    assert restore_lab(dump_lab(lab)) == lab


def test_balancers_of_both_families() -> None:
    lab = parse_lab(f"{BOTH}cloudProvider: external\n")
    assert lab.balancer_ranges == ("192.168.60.235-192.168.60.254", "fd00:60::200-fd00:60::213")
    lab = parse_lab(f"{BOTH}cloudProvider: external\nloadBalancersv6: fd00:60::5:0-fd00:60::5:f\n")
    assert lab.balancer_ranges[1] == "fd00:60::5:0-fd00:60::5:f"
    assert restore_lab(dump_lab(lab)) == lab


def test_everything_wrong_with_ipv6_is_told_at_once() -> None:
    found = problems(
        "networkv6: fd00:244:0:1::/64\npodCIDRv6: fd00:244::/48\nserviceCIDRv6: fd00:10:96::/64\n"
        "podCIDR: fd00:1::/48\ncloudProvider: external\nloadBalancersv6: fd00:9::1-fd00:9::2\n"
        "loadBalancers: fd00::1-fd00::2\n"
    )
    assert [problem.removeprefix("lab.yaml:") for problem in found] == [
        "2: podCIDRv6: fd00:244::/48 overlaps with networkv6 fd00:244:0:1::/64",
        "3: serviceCIDRv6: fd00:10:96::/64: the prefix length must be between 108 and 120",
        "4: podCIDR: fd00:1::/48 is IPv6, which goes beside it: the key that ends with v6",
        "6: loadBalancersv6: fd00:9::1-fd00:9::2 is not within fd00:244:0:1::2 to fd00:244:0:1:ffff:ffff:ffff:fffe, "
        "the addresses of fd00:244:0:1::/64 but the host's",
        "7: loadBalancers: 'fd00::1-fd00::2' is not a range such as 192.168.60.200-192.168.60.219",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "serviceCIDRv6: fd00:10:96::/112",
            "lab.yaml:1: serviceCIDRv6: Services of IPv6 need pods with such addresses",
        ),
        ("networkv6: fd00:60::/64", "lab.yaml:1: networkv6: machines of IPv6 need pods with such addresses"),
        ("networkv6: 192.168.61.0/24", "lab.yaml:1: networkv6: '192.168.61.0/24' is not an IPv6 network such as"),
        ("networkv6: fd00:60::/120", "lab.yaml:1: networkv6: fd00:60::/120: the prefix length must be between 64 and"),
        ("networkv6: fd00:60::1/64", "lab.yaml:1: networkv6: fd00:60::1/64 has host bits set"),
        (
            "podCIDRv6: fd00::/60\nworkers: 20",
            "lab.yaml:1: podCIDRv6: fd00::/60 has a /64 for 16 nodes, and the",
        ),
        (
            "cloudProvider: external\nloadBalancersv6: fd00::1-fd00::2",
            "lab.yaml:2: loadBalancersv6: balancers of IPv6 need machines with such addresses: networkv6",
        ),
        (
            f"{BOTH}cloudProvider: external\nloadBalancersv6: fd00:60::20-fd00:60::2f",
            "lab.yaml:5: loadBalancersv6: fd00:60::20-fd00:60::2f has fd00:60::21, the address of worker-1",
        ),
        ("loadBalancersv6: fd00::1-fd00::2", "lab.yaml:1: loadBalancersv6: only with cloudProvider: external"),
        ("masters: 0", "lab.yaml:1: masters: a lab needs a master"),
        ("\nmastres: 1", "lab.yaml:2: mastres: unknown key; did you mean masters?"),
        ("workers:\n  memroy: 1Gi", "lab.yaml:2: workers.memroy: unknown key; did you mean memory?"),
        ("workers: -1", "lab.yaml:1: workers: -1 is negative"),
        ("workers: many", "lab.yaml:1: workers: 'many' is not a whole number"),
        ("name: Lab", "lab.yaml:1: name: 'Lab' must be at most 20"),
        ("name: a\nname: b", "lab.yaml:2: name: is given twice"),
        ("memory: 2000", "lab.yaml:1: memory: '2000' is not a size such as 1280Mi or 2Gi"),
        ("memory: 512Mi", "lab.yaml:1: masters: memory 512Mi is less than the 1024Mi that the daemons need"),
        ("disk: 1Gi", "lab.yaml:1: disk: 1024Mi is less than the 4Gi that the guest image needs"),
        ("vcpus: 0", "lab.yaml:1: vcpus: 0 is not between 1 and 64"),
        ("podCIDRv6: 2001:db8::/48", "lab.yaml:1: podCIDRv6: 2001:db8::/48 is not within fc00::/7"),
        ("podCIDRv6: fd00::/64", "lab.yaml:1: podCIDRv6: fd00::/64: the prefix length must be between 48 and 60"),
        ("podCIDRv6: 10.0.0.0/8", "lab.yaml:1: podCIDRv6: '10.0.0.0/8' is not an IPv6 network such as fd00:244::/48"),
        ("network: 192.168.60.0", "lab.yaml:1: network: '192.168.60.0' is not a network such as 10.0.0.0/16"),
        ("network: 192.168.60.1/24", "lab.yaml:1: network: 192.168.60.1/24 has host bits set"),
        ("network: 8.8.8.0/24", "is not a private network"),
        ("network: fd00::/64", "network: fd00::/64 is IPv6, which goes beside it: the key that ends with v6"),
        ("podCIDR: 10.96.0.0/16", "1: podCIDR: 10.96.0.0/16 overlaps with serviceCIDR 10.96.0.0/12, the default"),
        (
            "podCIDR: 10.1.0.0/16\nserviceCIDR: 10.1.0.0/20",
            "lab.yaml:2: serviceCIDR: 10.1.0.0/20 overlaps with podCIDR 10.1.0.0/16",
        ),
        ("podCIDR: 10.244.0.0/23", "podCIDR: 10.244.0.0/23 has a /24 for 2 nodes, and the lab has 3"),
        ("driver: docker", "driver: 'docker' is not one of libvirt, netns"),
        ("dnsDomain: under_score", "dnsDomain: 'under_score' is not a DNS domain"),
        ("- a list", "lab.yaml:1: document: must be a mapping"),
        ("name: [a]", "lab.yaml:1: name: must be a single value"),
        ("a: {", "lab.yaml:1: not YAML"),
        ("workers: 1\n\tmasters: 1", "lab.yaml:2: not YAML: a tab; indent with spaces"),
        ("name: a\n---\nname: b", "lab.yaml:2: not YAML: a second document begins"),
        ("name: a\n\0", "lab.yaml:2: not YAML: it holds the character U+0000"),
        ("[1, 2]: 3", "lab.yaml:1: document: a key must be a single word"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("masters: 6", "masters: 6 is more than 5"),
        ("masters: 3\ncontrolPlane: service", "is for one master"),
        ("workers: 65", "workers: 65 is more than 64"),
    ],
)
def test_a_problem_has_its_line_and_words(text: str, expected: str) -> None:
    found = problems(text)
    assert any(expected in problem for problem in found), found


def test_all_problems_are_told_at_once_by_line() -> None:
    found = problems("name: X\nmasters: 0\npodCIDR: nonsense\nnetwork: 10.96.1.0/24\nunknown: 1\n")
    assert [tuple(problem.split(":")[1:3]) for problem in found] == [
        ("1", " name"),
        ("2", " masters"),
        ("3", " podCIDR"),
        ("4", " network"),
        ("5", " unknown"),
    ]


def test_a_network_that_is_wrong_is_not_also_said_to_overlap_by_its_default() -> None:
    assert [problem.split(":")[2] for problem in problems("podCIDR: nonsense\nserviceCIDR: 10.244.0.0/20\n")] == [
        " podCIDR"
    ]


def test_what_the_host_says_of_a_key_gets_its_line_and_nothing_is_said_of_defaults() -> None:
    text = read_text("name: x\nworkers: {count: 2, memory: 90Gi}\npodCIDR: nonsense\n", "lab.yaml")
    host = ["memory: too much", "network: taken", "podCIDR: taken", "KUBELAB_HOME: closed"]
    assert text.located(host) == ["lab.yaml:2: memory: too much", "network: taken", "KUBELAB_HOME: closed"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("name: x\n# Kühlschrank\n".encode("cp1252"), "lab.yaml:2: byte 0xfc is not UTF-8"),
        ("name: x\n".encode("utf-16"), "lab.yaml: UTF-16 text"),
    ],
)
def test_another_encoding_is_named_with_its_line(data: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_bytes(data)
    with pytest.raises(BadInput) as caught:
        load_lab(tmp_path / "lab.yaml")
    assert str(caught.value).endswith(expected)
    assert caught.value.advice == "Save the file as UTF-8."


def test_windows_line_ends_and_a_byte_order_mark_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_bytes(b"\xef\xbb\xbfname: x\r\nworkers: 1\r\n")
    assert load_lab(tmp_path / "lab.yaml").workers.count == 1


def test_a_missing_file_is_a_mistake_of_the_person() -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        load_lab(Path("/nonexistent/lab.yaml"))


def test_a_lab_survives_being_kept() -> None:
    lab = parse_lab("name: x\nworkers: {count: 5, memory: 2Gi}\ncontrolPlane: service\n")
    assert restore_lab(dump_lab(lab)) == lab


@given(st.text(max_size=200))
def test_any_text_is_a_lab_or_a_list_of_problems(text: str) -> None:
    try:
        parse_lab(text)
    except BadInput as error:
        assert error.problems


def test_a_cloud() -> None:
    lab = parse_lab("cloudProvider: external\nworkers: 3\nzones: 2")
    assert lab.load_balancers is not None
    assert [str(each) for each in lab.load_balancers] == ["192.168.60.235", "192.168.60.254"]
    assert [lab.zone(each) for each in lab.machines] == ["lab-a", "lab-a", "lab-b", "lab-a"]
    assert restore_lab(dump_lab(lab)) == lab
    assert (parse_lab("").cloud_provider, parse_lab("").load_balancers) == ("none", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cloudProvider: aws", "lab.yaml:1: cloudProvider: 'aws' is not one of none, external"),
        ("zones: 2", "lab.yaml:1: zones: only with cloudProvider: external"),
        (
            "loadBalancers: 192.168.60.200-192.168.60.209",
            "lab.yaml:1: loadBalancers: only with cloudProvider",
        ),
        ("cloudProvider: external\nzones: 27", "lab.yaml:2: zones: 27 is not between 1 and 26"),
        (
            "cloudProvider: external\nloadBalancers: 192.168.60.200",
            "lab.yaml:2: loadBalancers: '192.168.60.200' is",
        ),
        (
            "cloudProvider: external\nloadBalancers: 10.0.0.2-10.0.0.1",
            "lab.yaml:2: loadBalancers: 10.0.0.2-10.0.0.1: it",
        ),
        (
            "cloudProvider: external\nloadBalancers: 10.0.0.0-10.0.4.0",
            "lab.yaml:2: loadBalancers: 10.0.0.0-10.0.4.0: ",
        ),
        (
            "cloudProvider: external\nloadBalancers: 192.168.60.240-192.168.60.255",
            "lab.yaml:2: loadBalancers: 192.168.60.240-192.168.60.255 is not within 192.168.60.2 to 192.168.60.254",
        ),
        (
            "cloudProvider: external\nloadBalancers: 192.168.60.20-192.168.60.30",
            "lab.yaml:2: loadBalancers: 192.168.60.20-192.168.60.30 has 192.168.60.21, the address of worker-1",
        ),
        (
            "masters: 3\ncloudProvider: external\nloadBalancers: 192.168.60.9-192.168.60.10",
            "lab.yaml:3: loadBalancers: 192.168.60.9-192.168.60.10 has 192.168.60.10, the address of the API servers",
        ),
        (
            "cloudProvider: external\nnetwork: 192.168.60.0/26\nworkers: 25",
            "lab.yaml:1: loadBalancers: 192.168.60.43-192.168.60.62, the default, has 192.168.60.43, the address of",
        ),
    ],
)
def test_what_is_wrong_with_a_cloud(text: str, expected: str) -> None:
    assert any(each.startswith(expected) for each in problems(text)), problems(text)
