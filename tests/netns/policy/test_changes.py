"""Changes of the table against the kernel: after any of them it holds what writing the whole would have left."""

import random
import re
import subprocess

import pytest

from nodeagent.policy.model import Pod
from nodeagent.policy.plan import World, plan_rules
from nodeagent.policy.render import DELETE, TABLE, Table, build_table, render, render_change
from tests.netns.cni.namespaces import Namespace

NODE = "node-1"
ADDED = "add element inet kubelab-policies"
CHAINS = re.compile(r"(?m)^\t(?=\w+ \S+ \{)")


@pytest.fixture
def namespace():
    made = Namespace("dnd-change")
    yield made
    made.delete()


def held(namespace: Namespace) -> list[str]:
    """What the kernel has, elements in order."""
    text = namespace.run("nft", "-s", "list", "table", "inet", TABLE)
    chunks = CHAINS.split(re.sub(r"\n\}\n$", "\n", text))
    return sorted(re.sub(r"elements = \{([^}]*)\}", _in_order, one).strip() for one in chunks)


def _in_order(found: re.Match[str]) -> str:
    return str(sorted(" ".join(each.split()) for each in found[1].split(",")))


def world(chance: random.Random) -> Table:
    pods = [
        Pod(
            "default", f"p{i}", NODE, {"app": chance.choice("abc")}, (f"10.0.0.{i}", f"fd00::{i:x}"),
            (("http", "TCP", 80 + i % 3),),
        )
        for i in range(1, 15)
        if chance.random() < 0.8
    ]  # fmt: skip
    peers = [
        {"podSelector": {"matchLabels": {"app": "a"}}},
        {"podSelector": {}},
        {"ipBlock": {"cidr": "10.0.0.0/28", "except": ["10.0.0.4/30"]}},
        {"ipBlock": {"cidr": "10.0.0.8/29"}},
        {"ipBlock": {"cidr": "fd00::/64"}},
    ]
    ports = [{"port": 80}, {"port": 100, "endPort": 200}, {"port": "http"}, {"protocol": "UDP", "port": 53}]

    def rules(key: str) -> list[dict]:
        return [
            {key: chance.sample(peers, chance.randrange(3)), "ports": chance.sample(ports, chance.randrange(3))}
            for _ in range(chance.randrange(3))
        ]

    policies = [
        {
            "metadata": {"name": f"n{i}", "namespace": "default"},
            "spec": {
                "podSelector": chance.choice([{}, {"matchLabels": {"app": "b"}}]),
                "policyTypes": ["Ingress", "Egress"],
                "ingress": rules("from"),
                "egress": rules("to"),
            },
        }
        for i in range(4)
        if chance.random() < 0.8
    ]
    return build_table(plan_rules(World(policies, pods, {"default": {}}), NODE))


def test_a_change_leaves_what_the_whole_would(namespace: Namespace) -> None:
    chance = random.Random(5)
    old = world(chance)
    namespace.run("nft", "-f", "-", input=render(old))
    changes = 0
    for _ in range(40):
        new = world(chance)
        change = render_change(old, new)
        if change:
            changes += 1
            done = subprocess.run(
                ["nsenter", f"--net={namespace.path}", "nft", "-f", "-"], input=change, text=True, capture_output=True
            )
            assert done.returncode == 0, done.stderr + change
        by_change = held(namespace)
        namespace.run("nft", "-f", "-", input=render(new))
        assert by_change == held(namespace)
        old = new
    assert changes > 30
    namespace.run("nft", "-f", "-", input=DELETE)


def test_one_pod_more_is_a_few_elements() -> None:
    pods = [Pod("default", f"p{i}", NODE, {}, (f"10.0.{i // 250}.{i % 250 + 1}",), ()) for i in range(1000)]
    spec = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}
    policies = [{"metadata": {"name": "p", "namespace": "default"}, "spec": spec}]
    old, new = (build_table(plan_rules(World(policies, some, {}), NODE)) for some in (pods[:-1], pods))
    change = render_change(old, new)
    assert [line.split(" {")[0].rsplit(" ", 1)[0] for line in change.splitlines()] == [ADDED] * 3
    assert change.count("10.0.") == 4
    assert render_change(new, new) == ""
