"""ResourceQuota: a namespace uses no more than it may, however many servers admit at once."""
