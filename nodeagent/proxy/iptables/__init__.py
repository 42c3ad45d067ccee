"""kube-proxy's iptables mode: its layout of chains, and how they get into the kernel."""
