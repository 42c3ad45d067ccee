"""Nothing that an object can hold becomes a rule of its own: the kernel's own parser reads what was generated."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.policy.model import Pod, read_pod
from nodeagent.policy.plan import World, plan_rules
from nodeagent.policy.render import render

NODE = "node-1"


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


@settings(max_examples=100)
@given(
    st.lists(
        st.builds(
            lambda name, ingress, egress: policy(name, ingress=ingress, egress=egress),
            _NAMES,
            st.lists(_rule("from"), max_size=3),
            st.lists(_rule("to"), max_size=3),
        ),
        max_size=4,
    ),
    st.lists(_ADDRESSES, max_size=4),
)
def test_nothing_that_an_object_holds_makes_a_ruleset_that_nft_refuses_or_misreads(policies, addresses):
    pods = [one for one in map(pod, addresses) if one is not None]
    text = render(plan_rules(World(policies, pods, {"default": {}}), NODE))
    checked = subprocess.run(["nft", "-c", "-f", "-"], input=text, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr + text
    assert "flush" not in text
