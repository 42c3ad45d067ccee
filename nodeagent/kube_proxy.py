"""The process `kube-proxy` of a node: the service proxy, the routes, what enforces NetworkPolicies, and the agent that
answers the CNI plugins.

All in one for their memory's sake. They meet here, for they do not know each other.
"""

import sys

from apimachinery.kit import collector, trust

if __name__ == "__main__":
    with collector.loading():
        trust.load_aiohttp_without_system_authorities()
        from nodeagent.cni.agent import Agent
        from nodeagent.policy.enforcer import Enforcer
        from nodeagent.policy.kernel import Nft
        from nodeagent.proxy.main import main

    sys.exit(
        main(
            cni_agent=Agent,
            policies=lambda node_name, factory, clock: Enforcer(node_name, factory, Nft(), clock).run(),
            clean_up_policies=Nft().remove,
        )
    )
