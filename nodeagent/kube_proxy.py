"""The process `kube-proxy` of a node: the service proxy, the routes, what enforces NetworkPolicies, the agent that
answers the CNI plugins, and what announces addresses of load balancers.

All in one for their memory's sake. They meet here, for they do not know each other.
"""

import sys

from apimachinery.kit import collector, trust

if __name__ == "__main__":
    with collector.loading():
        trust.load_aiohttp_without_system_authorities()
        from nodeagent.cni.agent import Agent
        from nodeagent.policy.enforcer import Enforcer
        from nodeagent.policy.gate import Gate
        from nodeagent.policy.kernel import Nft
        from nodeagent.proxy.main import main
        from nodeagent.speaker.speaker import Speaker

    gate = Gate()
    sys.exit(
        main(
            cni_agent=lambda path, policies: Agent(path, admit=gate.admit if policies else None),
            policies=lambda node_name, factory, clock: gate.serve(Enforcer(node_name, factory, Nft(), clock)),
            announcer=lambda node_name, pool, factory, clock: Speaker(node_name, pool, factory, clock).run(),
            clean_up_policies=Nft().remove,
        )
    )
