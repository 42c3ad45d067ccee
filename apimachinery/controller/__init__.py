"""What every controller shares: the work queue, the reconcile loop, expectations, ownership, events."""
