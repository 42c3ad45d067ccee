"""Ways that are not the usual ones: from outside, by a load balancer's address and by a host port."""

import pytest

from apimachinery.api.catalogue import SERVICES
from nodeagent.explain import show
from nodeagent.explain.report import Report
from tests.netns.cni.namespaces import Namespace
from tests.netns.explain.conftest import Lab, policies, soon

EXTERNAL, BALANCER, NARROW = "203.0.113.7", "203.0.113.8", "203.0.113.9"
HOST_PORT = 7070


async def agrees(lab: Lab, source: str, ip: str, port: int, via: str = "") -> Report:
    """The report, which says what really happens."""
    report = await lab.why(source, f"{ip}:{port}", via=via)
    said = report.verdict if report.verdict in ("answers", "refused") else "silent"
    happened, words = lab[source].ask(ip, port, timeout=20.0 if said == "answers" else 1.0)
    told = "\n".join(show.lines(report, every=True, commands=False))
    assert said == happened, f"{happened} {words}, told {report.verdict}\n{told}"
    if said == "answers":
        seen = {(way.backend.rpartition(":")[0], way.seen_as) for way in report.outcomes}
        name, _, client = words.partition(" from ")
        assert (lab[name].ip, client) in seen, f"{words}\n{told}"
    return report


async def balanced(lab: Lab, name: str, ip: str, *pods: str, **spec: object) -> None:
    await lab.service(name, *pods, type="LoadBalancer", **spec)
    status = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}
    await lab.world.client.patch(SERVICES, name, {"status": status}, "default", subresource="status")


@pytest.mark.parametrize("lab", ["nftables"], indirect=True)
async def test_from_outside_by_other_addresses_and_policies_at_both_ends(lab: Lab) -> None:
    one, two = lab.world.nodes
    await lab.service("open", "a1", externalIPs=[EXTERNAL])
    await balanced(lab, "lb", BALANCER, "b1", externalTrafficPolicy="Local")
    await balanced(lab, "narrow", NARROW, "a1", loadBalancerSourceRanges=["198.51.100.0/24"])
    for ip, node in ((EXTERNAL, one), (BALANCER, two), (NARROW, one)):
        lab.world.api.run("ip", "route", "add", ip, "via", node.ip)
    await lab.pod("ported", "default", one, HOST_PORT)
    to = [{"podSelector": {"matchLabels": {"app": "b1"}}}]
    await lab.policy("out", podSelector={"matchLabels": {"app": "a2"}}, policyTypes=["Egress"], egress=[{"to": to}])
    await lab.policy("in", podSelector={"matchLabels": {"app": "b1"}}, ingress=[{"ports": [{"port": 8080}]}])
    for node, words in ((one, ("default/out", lab["b1"].ip)), (two, ("default/in", lab["b1"].ip))):
        await soon("the policies", lambda node=node, words=words: all(word in policies(node) for word in words))
    outside = lab["outside"]
    for way in ((EXTERNAL, 80), (BALANCER, 80), (one.ip, HOST_PORT)):
        await soon(f"an answer at {way}", lambda way=way: outside.ask(*way)[0] == "answers")
    # The last Service's rules are there when it is refused by its source ranges, not for want of an endpoint.
    await soon("the source ranges", lambda: NARROW in everything(one.namespace))

    assert (await agrees(lab, "outside", EXTERNAL, 80, "node-1")).verdict == "answers"
    assert (await agrees(lab, "outside", BALANCER, 80, "node-2")).verdict == "answers"
    assert (await agrees(lab, "outside", NARROW, 80, "node-1")).verdict == "dropped"
    assert (await agrees(lab, "outside", one.ip, HOST_PORT, "node-1")).verdict == "answers"
    assert (await agrees(lab, "a2", lab["b1"].ip, 8080)).verdict == "answers"
    shut = await agrees(lab, "a2", lab["b1"].ip, 81)  # let out at one end, not in at the other
    assert [(one.kind, one.host) for one in shut.findings] == [("policy", "node node-2")]
    kept = await agrees(lab, "a2", lab["b2"].ip, 8080)  # not let out
    assert [(one.kind, one.host) for one in kept.findings] == [("policy", "node node-1")]

    # From here on nothing is repaired: what is taken out of the table and put into it is found.
    assert one.process is not None
    one.process.stop()
    one.namespace.run("nft", f"delete element ip kube-proxy service-ips {{ {EXTERNAL} . tcp . 80 }}")
    one.namespace.run("nft", "add rule ip kube-proxy masquerading return")
    found = {(one.kind, one.what) for one in (await lab.why("outside", f"{EXTERNAL}:80", via="node-1")).findings}
    assert ("flushed", f"kube-proxy service-ips lacks `{EXTERNAL} . tcp . 80`") in found
    assert ("foreign", "kube-proxy masquerading has 4 rules instead of 3") in found


def everything(inside: Namespace) -> str:
    return inside.run("iptables-save") + inside.run("nft", "list", "ruleset")
