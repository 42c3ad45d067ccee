"""What the node itself refuses, whoever bound the pod to it: pressure, room, affinity, ports, sysctls, shutdown."""
