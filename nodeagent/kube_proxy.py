"""The process `kube-proxy` of a node: the service proxy, the routes, and the agent that answers the CNI plugins.

Three in one for their memory's sake. They meet here, for the proxy and the plugins do not know each other.
"""

import os
import sys

if __name__ == "__main__":
    # aiohttp reads the system's certificate authorities, twice, when it is imported: an eighth of the time until the
    # first rule, and 2 MB. This process trusts the cluster's own authority, which its kubeconfig holds, and no other.
    os.environ |= {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
    from nodeagent.cni.agent import Agent
    from nodeagent.proxy.main import main

    sys.exit(main(cni_agent=Agent))
