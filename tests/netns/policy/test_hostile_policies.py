"""Nothing that an object can hold becomes a rule of its own: the kernel reads what was generated.

KUBELAB_HOSTILE_POLICIES: how many worlds; 10,000 take some minutes.
"""

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.policy.model import Pod, read_pod
from nodeagent.policy.plan import World, plan_rules
from nodeagent.policy.render import build_table, render, render_change
from tests.netns.cni.namespaces import Namespace

NODE = "node-1"
QUOTED = re.compile(r'"[^"\n]*"')


def policy(name, **spec):
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"podSelector": {}, **spec}}


def pod(ip) -> Pod | None:
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 80}]}
    return read_pod(
        {
            "metadata": {"name": "a", "namespace": "default", "labels": {}},
            "spec": {"nodeName": NODE, "containers": [container]},
            "status": {"phase": "Running", "podIPs": [{"ip": ip}]},
        }
    )


_NAMES = st.text(min_size=1, max_size=300)
_ADDRESSES = st.one_of(st.ip_addresses().map(str), st.text(max_size=20))
_NETWORKS = st.one_of(st.ip_addresses().map(lambda one: f"{one}/8"), st.ip_addresses().map(str), st.text(max_size=20))
_PORTS = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.sampled_from(["TCP", "UDP", "SCTP"]),
        "port": st.one_of(st.integers(1, 65535), st.sampled_from(["http", "dns", 'x" drop'])),
    },
)
_PEERS = st.one_of(
    st.fixed_dictionaries(
        {"ipBlock": st.fixed_dictionaries({"cidr": _NETWORKS, "except": st.lists(_NETWORKS, max_size=3)})}
    ),
    st.fixed_dictionaries({}, optional={"podSelector": st.just({}), "namespaceSelector": st.just({})}).filter(bool),
)


def _rule(peers):
    return st.fixed_dictionaries(
        {}, optional={peers: st.lists(_PEERS, max_size=3), "ports": st.lists(_PORTS, max_size=3)}
    )


_POLICIES = st.lists(
    st.tuples(_NAMES, st.lists(_rule("from"), max_size=3), st.lists(_rule("to"), max_size=3)),
    max_size=4,
    unique_by=lambda one: one[0],
)
_WORLDS = st.tuples(_POLICIES, st.lists(_ADDRESSES, max_size=4))


def table(world):
    policies, addresses = world
    pods = [one for one in map(pod, addresses) if one is not None]
    said = [policy(name, ingress=ingress, egress=egress) for name, ingress, egress in policies]
    return build_table(plan_rules(World(said, pods, {"default": {}}), NODE))


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace("hostile")
    yield made
    made.delete()


@settings(max_examples=int(os.environ.get("KUBELAB_HOSTILE_POLICIES", "100")))
@given(before=_WORLDS, after=_WORLDS)
def test_nothing_that_an_object_holds_makes_a_ruleset_that_nft_refuses_or_misreads(namespace, before, after):
    old, new = table(before), table(after)
    whole, change = render(old), render_change(old, new)
    # Only chains of ours that nobody jumps to any more are flushed; what is quoted is a comment.
    assert "flush" not in QUOTED.sub("", whole).replace(" flush chain", "")
    assert "flush ruleset" not in QUOTED.sub("", change)
    # Two transactions, as the enforcer writes them: within one, nft sees no interval make way for another.
    namespace.run("nft", "-f", "-", input=whole)
    namespace.run("nft", "-f", "-", input=change)
