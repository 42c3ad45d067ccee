"""From pods to the runtime's sandboxes and containers, and back."""
