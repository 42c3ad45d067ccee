"""kube-proxy's nftables mode: its table of chains, maps and sets, and how it gets into the kernel."""
