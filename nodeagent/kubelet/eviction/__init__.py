"""What the node does when it runs out of memory, disk, inodes or processes: reclaim, then end pods, one at a time."""
