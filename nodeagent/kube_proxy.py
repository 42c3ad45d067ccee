"""The process `kube-proxy` of a node: the service proxy, the routes, and the agent that answers the CNI plugins.

Three in one for their memory's sake; this module is where they meet, for neither knows the other.
"""

from __future__ import annotations

import sys

from nodeagent.cni.agent import Agent
from nodeagent.proxy.main import main

if __name__ == "__main__":
    sys.exit(main(cni_agent=Agent))
