"""Statistics of the node, its pods and containers, straight from cgroup files and /proc: reading, then rendering."""
