"""The process `kube-proxy` of a node: the service proxy, the routes, and the agent that answers the CNI plugins.

Three in one for their memory's sake. They meet here, for the proxy and the plugins do not know each other.
"""

import sys

from apimachinery.kit import trust

if __name__ == "__main__":
    trust.load_aiohttp_without_system_authorities()
    from nodeagent.cni.agent import Agent
    from nodeagent.proxy.main import main

    sys.exit(main(cni_agent=Agent))
