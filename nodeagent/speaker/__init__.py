"""Announces load balancers: the node answers ARP for the addresses that the cloud gave it."""
